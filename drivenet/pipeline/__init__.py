"""Source, engine and sinks put together; the only place that sees all three."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from drivenet.classmap import ClassMap
from drivenet.engine.base import Engine
from drivenet.errors import SourceError
from drivenet.frame import Frame
from drivenet.latency import Stamps, now_ns
from drivenet.overlay import Painter
from drivenet.pipeline.handoff import POLICIES, Handoff
from drivenet.pipeline.ledger import Ledger
from drivenet.pipeline.publisher import Publisher
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
#: From the stop to giving up on a thread: longer than most inferences, with time left to close the sinks in 3 s.
_JOIN_NS = 1_500_000_000
_LEAST_JOIN_NS = 200_000_000


class Pipeline:
    """One run. Frames are captured in one thread, processed in a second, published in the caller's.

    The pipeline owns what it is given: source, engine and sinks are closed when the run ends, however it ends.
    At the end ``captured == published + sum(dropped.values())``; drops are ``superseded`` by a newer frame,
    ``stopped`` with the run, or ``failed`` with an engine or a sink. What was captured before the source failed,
    or processed before the engine failed, is still published.

    Args:
        source: where frames come from.
        engine: what finds their classes.
        sinks: where results go.
        policy: ``latest`` or ``every``; None = ``latest`` for a live source, else ``every``.
        painter: draws the views, if a sink wants any; None = overlays.
        max_frames: end after so many captured frames.
        report: called with the running totals about twice a second, from the thread that publishes.

    Raises:
        UsageError: for an unknown policy.
    """

    def __init__(
        self, source: Source, engine: Engine, sinks: Sequence[Sink], *, policy: str | None = None,
        painter: Painter | None = None, max_frames: int | None = None,
        report: Callable[[Totals], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.source, self.engine = source, engine
        self.labels = engine.spec.label_set
        self.policy = policy or ("latest" if source.live else "every")
        self.max_frames, self.report = max_frames, report
        self.ledger = Ledger(engine.describe())
        named = source.name, f"{engine.backend} {engine.precision}"
        self._publisher = Publisher(sinks, painter or Painter(self.labels), self.ledger, *named)
        self._frames: Handoff[Frame] = Handoff(self.policy, superseded=lambda _: self.ledger.dropped("superseded"))
        self._results: Handoff[Result] = Handoff("every", depth=1 if self.policy == "latest" else 2)
        self._errors: list[Exception] = []
        # plain numbers, written whole: a signal handler that interrupts their writer must not wait for a lock
        self._stopped_ns = self._asked_ns = self._status_ns = 0

    @property
    def serving(self) -> Sink | None:
        """The sink that is at work just now, None while none is: what a run that does not end may be waiting for."""
        return self._publisher.serving

    def stop(self) -> None:
        """End the run soon, once the sink that is at work returns; from any thread and from a signal handler."""
        self._stopped_ns = self._stopped_ns or now_ns()

    def run(self) -> Totals:
        """Run to the end of the source, a stop, or an error; once.

        Returns:
            The final totals.

        Raises:
            SourceError, EngineError, SinkError: what ended the run, after everything was closed.
        """
        works = (
            ("capture", self._capture, (self._frames,)),
            ("infer", self._process, (self._frames, self._results)),
        )
        threads = [threading.Thread(target=self._in_thread, args=w[1:], name=w[0], daemon=True) for w in works]
        try:
            for thread in threads:
                thread.start()
            self._publish_all()
        except Exception as error:  # noqa: BLE001 - raised below, once everything is closed
            self._errors.append(error)
        finally:
            totals = self._finish(threads)
        if self._errors:
            raise self._errors[0]
        return totals

    def _in_thread(self, work: Callable[[], None], ends: Iterable[Handoff[Frame] | Handoff[Result]]) -> None:
        """Do a thread's work, keep its error for :meth:`run`, and tell its neighbours that no more comes."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised by run
            self._errors.append(error)
        finally:
            for handoff in ends:
                handoff.close()

    def _capture(self) -> None:
        self._asked_ns = now_ns()
        try:
            for frame in self.source:
                self._asked_ns = 0  # handing it on may take long, and that is not the source's silence
                count = self.ledger.captured(frame.captured_ns)
                if self._stopped_ns or not self._frames.put(frame):
                    self.ledger.dropped("stopped")
                    return
                if count == self.max_frames:
                    return
                self._asked_ns = now_ns()
        except SourceError:
            if not self._stopped_ns:  # a source that is closed under its reader may complain of just that
                raise
        finally:
            self._asked_ns = 0

    def _process(self) -> None:
        while not self._stopped_ns:
            # a frame is taken only when its result has a place to go: until then a newer one may replace it
            if not self._results.wait_for_room(_TICK_S):
                continue
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
        while not self._stopped_ns:
            result = self._results.take(_TICK_S)
            if result is not None:
                self._publisher.publish(result)
            elif self._results.finished:
                return
            else:
                self._watch()
            self._tell_status()
            if self._publisher.stop_requested:
                self.stop()

    def _watch(self) -> None:
        """Tell the sinks when a live source has fallen silent."""
        asked_ns = self._asked_ns
        silent_s = (now_ns() - asked_ns) / 1e9 if asked_ns else 0.0
        patience_s = max(LOST_AFTER_S, 3 / self.source.fps if self.source.fps > 0 else 0.0)
        if self.source.live and silent_s > patience_s:
            self._publisher.lost(silent_s)

    def _tell_status(self) -> None:
        now = now_ns()
        if now - self._status_ns >= _STATUS_NS:
            self._status_ns = now
            totals = self.ledger.totals()
            self._publisher.status(totals)
            self.report(totals)

    def _finish(self, threads: list[threading.Thread]) -> Totals:
        """Stop everything within bounds, settle the books, close all edges; errors are kept, not raised."""
        self.stop()
        self._attempt(self.source.close)
        self.ledger.dropped("stopped", len(self._frames.clear()) + len(self._results.clear()))
        stuck = not self._joined(threads)
        if stuck:
            self.ledger.settle()
        totals = self.ledger.totals()
        self._attempt(lambda: self._publisher.close(totals))
        if not stuck:  # never under a thread that may still be inside it
            self._attempt(self.engine.close)
        return totals

    def _joined(self, threads: list[threading.Thread]) -> bool:
        """Whether all threads have ended, or do so in time."""
        until = max(self._stopped_ns + _JOIN_NS, now_ns() + _LEAST_JOIN_NS)
        started = [thread for thread in threads if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, (until - now_ns()) / 1e9))
        return not any(thread.is_alive() for thread in started)

    def _attempt(self, close: Callable[[], None]) -> None:
        try:
            close()
        except Exception as error:  # noqa: BLE001 - raised by run
            self._errors.append(error)
