"""Source, engine and sinks put together; the only place that sees all three."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from drivenet.classmap import ClassMap
from drivenet.engine.base import Engine
from drivenet.errors import DrivenetError, SinkError
from drivenet.frame import Frame, Image
from drivenet.latency import Stamps, now_ns
from drivenet.overlay import Painter, lost_view
from drivenet.pipeline.handoff import POLICIES, Handoff
from drivenet.pipeline.ledger import Ledger
from drivenet.prepare import prepare
from drivenet.result import Result, Totals
from drivenet.scene import analyse
from drivenet.sinks.base import Sink
from drivenet.sources.base import Source

__all__ = ["POLICIES", "Handoff", "Pipeline"]

#: A live source is lost when it has given nothing for this long (and for three of its frame times).
LOST_AFTER_S = 1.0
_TICK_S = 0.25
_STATUS_NS = 500_000_000
#: Bound on waiting for a thread that ends; longer than a source or an inference may take to notice.
_JOIN_S = 2.0


class Pipeline:
    """One run. Frames are captured in one thread, processed in a second, published in the caller's.

    The pipeline owns what it is given: source, engine and sinks are closed when the run ends, however it ends.
    At the end ``captured == published + sum(dropped.values())``; drops are ``superseded`` by a newer frame,
    ``stopped`` with the run, or ``failed`` with an engine or a sink.

    Args:
        source: where frames come from.
        engine: what finds their classes.
        sinks: where results go.
        policy: ``latest`` or ``every``; None = ``latest`` for a live source, else ``every``.
        painter: draws the views, if a sink wants any; None = overlays.
        max_frames: end after so many captured frames.
        report: called with the running totals after every published frame.

    Raises:
        UsageError: for an unknown policy.
    """

    def __init__(
        self, source: Source, engine: Engine, sinks: Sequence[Sink], *, policy: str | None = None,
        painter: Painter | None = None, max_frames: int | None = None,
        report: Callable[[Totals], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.source, self.engine = source, engine
        self.sinks = [s for s in sinks if not s.records]
        self.recorders = [s for s in sinks if s.records]
        self.labels = engine.spec.label_set
        self.painter = painter or Painter(self.labels)
        self.policy = policy or ("latest" if source.live else "every")
        self.max_frames, self.report = max_frames, report
        self.ledger = Ledger(engine.describe())
        live = self.policy == "latest"
        self._frames: Handoff[Frame] = Handoff(self.policy, superseded=lambda _: self.ledger.dropped("superseded"))
        self._results: Handoff[Result] = Handoff("every", depth=1 if live else 2)
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._status_at = 0
        self._last_view: Image | None = None

    def stop(self) -> None:
        """End the run soon; may be called from any thread and from a signal handler."""
        self._stop.set()

    def run(self) -> Totals:
        """Run to the end of the source, a stop, or an error.

        Returns:
            The final totals.

        Raises:
            SourceError, EngineError, SinkError: what ended the run, after everything was closed.
        """
        threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("capture", self._capture), ("infer", self._process))
        ]
        for thread in threads:
            thread.start()
        try:
            self._guarded(self._publish_all)
        finally:
            totals = self._finish(threads)
        if self._errors:
            raise self._errors[0]
        return totals

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a thread's work; an error of it ends the run and is raised by :meth:`run`."""
        try:
            work()
        except BaseException as error:
            self._errors.append(error)
            if not isinstance(error, Exception):
                raise
            if work != self._capture:  # what was captured before the source failed is still worth publishing
                self.stop()
        finally:
            if work == self._capture:
                self._frames.close()
            elif work == self._process:
                self._results.close()

    def _capture(self) -> None:
        for frame in self.source:
            count = self.ledger.captured(frame.captured_ns)
            if self._stop.is_set() or not self._frames.put(frame):
                self.ledger.dropped("stopped")
                return
            if count == self.max_frames:
                return

    def _process(self) -> None:
        while not self._stop.is_set():
            frame = self._frames.take(_TICK_S)
            if frame is not None:
                self._process_one(frame)
            elif self._frames.finished:
                return

    def _process_one(self, frame: Frame) -> None:
        stamps = Stamps(frame.captured_ns, taken=now_ns())
        try:
            image = prepare(frame.image, self.engine.spec.input)
            stamps.prepared = now_ns()
            classmap = ClassMap(self.engine.infer(image), frame.index, frame.captured_ns)
            stamps.inferred = now_ns()
            scene = analyse(classmap, self.labels, frame.size)
            stamps.analysed = now_ns()
        except BaseException:
            self.ledger.dropped("failed")
            raise
        self.ledger.processed()
        if not self._results.put(Result(frame, classmap, scene, self.labels, stamps)):
            self.ledger.dropped("stopped")

    def _publish_all(self) -> None:
        while not self._stop.is_set():
            result = self._results.take(_TICK_S)
            if result is not None:
                self._publish(result)
            elif self._results.finished:
                return
            else:
                self._watch()
            self._tell_status()
            if any(s.stop_requested for s in self.sinks):
                self.stop()

    def _publish(self, result: Result) -> None:
        try:
            result = self._drawn(result)
            for sink in self.sinks:
                sink.publish(result)
                result.stamps.published[sink.name] = now_ns()
        except BaseException:
            self.ledger.dropped("failed")
            raise
        self.ledger.published(result.stamps)
        for recorder in self.recorders:
            recorder.publish(result)
        self.report(self.ledger.totals())

    def _drawn(self, result: Result) -> Result:
        """The result with its view, if a sink wants one."""
        stamps = result.stamps
        stamps.handed = now_ns()
        if any(s.needs_view for s in self.sinks):
            engine = f"{self.engine.backend} {self.engine.precision}"
            hud = self.ledger.hud(stamps, self.source.name, engine)
            view = self.painter.draw(result.frame, result.classmap, result.scene, hud)
            self._last_view = view
            result = Result(result.frame, result.classmap, result.scene, result.labels, stamps, view)
        stamps.drawn = now_ns()
        return result

    def _watch(self) -> None:
        """Tell the sinks when a live source has fallen silent."""
        silent_s = (now_ns() - self.ledger.last_captured_ns) / 1e9
        patience_s = max(LOST_AFTER_S, 3 / self.source.fps if self.source.fps > 0 else 0.0)
        if self.source.live and silent_s > patience_s and self._last_view is not None:
            view = lost_view(self._last_view, silent_s)
            for sink in self.sinks:
                sink.lost(view, silent_s)

    def _tell_status(self) -> None:
        now = now_ns()
        if now - self._status_at >= _STATUS_NS:
            self._status_at = now
            totals = self.ledger.totals()
            for sink in self.sinks:
                sink.status(totals)

    def _finish(self, threads: list[threading.Thread]) -> Totals:
        """Stop everything within bounds, settle the books, close all edges; a second error is kept, not raised."""
        self._stop.set()
        self.source.close()
        self.ledger.dropped("stopped", len(self._frames.clear()) + len(self._results.clear()))
        until = now_ns() + round(_JOIN_S * 1e9)
        for thread in threads:
            thread.join(max(0.0, (until - now_ns()) / 1e9))
        stuck = any(t.is_alive() for t in threads)
        totals = self.ledger.totals()
        if stuck:  # what such a thread still holds will never be published
            self.ledger.dropped("stopped", totals.captured - totals.published - sum(totals.dropped.values()))
            totals = self.ledger.totals()
        for sink in (*self.sinks, *self.recorders):
            try:
                sink.close(totals)
            except (DrivenetError, OSError) as error:
                kept = error if isinstance(error, DrivenetError) else SinkError(f"{sink.name}: {error}")
                self._errors.append(kept)
        if not stuck:  # never under a thread that may still be inside it
            self.engine.close()
        return totals
