"""One run of one source: three threads between it and its sinks."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Sequence

from drivenet.engine.base import Engine
from drivenet.errors import EngineError, SourceError, UsageError, wrapped
from drivenet.frame import Frame
from drivenet.latency import now_ns
from drivenet.overlay import Painter
from drivenet.pipeline.accounting import FrameAccounting
from drivenet.pipeline.dispatcher import SinkDispatcher
from drivenet.pipeline.mailbox import Mailbox
from drivenet.pipeline.renderer import Renderer
from drivenet.pipeline.shutdown import Shutdown
from drivenet.pipeline.state import RunControl, RunState
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sources.base import Source
from drivenet.step import process

#: A live source is lost when it has given nothing for this long (and for three of its frame times).
LOST_AFTER_S = 1.0
_TICK_S = 0.25
_STATUS_NS = 500_000_000
#: How long the interpreter's end waits for runs in threads that it does not wait for itself.
_EXIT_S = 4.0


class Pipeline:
    """One run. Frames are captured in one thread, processed in a second and drawn in a third; every sink is served
    in one of its own, or in the caller's if it asks for that.

    The pipeline owns what it is given: source, engine and sinks are closed when the run ends, however it ends.
    At the end ``captured == published + sum(dropped.values())``; drops are ``superseded`` by a newer frame before
    they were processed, ``sink`` if all sinks were too slow for them, ``stopped`` with the run, or ``failed`` with
    an engine or with sinks of which none had them. What was captured before the source failed, or processed before
    the engine failed, is still published.

    A slow sink drops frames of its own (see :class:`~drivenet.result.Totals`) and delays nobody, but that under
    ``every`` the run waits for sinks that ``block``. The engine is not asked for frames that no sink is ready for.

    Args:
        source: where frames come from.
        engine: what finds their classes.
        sinks: where results go.
        policy: ``latest`` or ``every``; None = ``latest`` for a live source, else ``every``.
        painter: draws the views, if a sink wants any; None = overlays.
        max_frames: end after so many captured frames.
        report: called with the running totals about twice a second, from the thread that draws.

    Raises:
        UsageError: for an unknown policy, or fewer frames than one; source, engine and sinks stay the caller's then.
    """

    def __init__(
        self, source: Source, engine: Engine, sinks: Sequence[Sink], *, policy: str | None = None,
        painter: Painter | None = None, max_frames: int | None = None,
        report: Callable[[Totals], None] = lambda _: None,
    ) -> None:  # fmt: skip
        if max_frames is not None and max_frames < 1:
            raise UsageError(f"max_frames {max_frames}", "at least 1, or None for all")
        self.source, self.engine = source, engine
        self.labels = engine.spec.label_set
        self.policy = policy or ("latest" if source.live else "every")
        self.max_frames, self.report = max_frames, report
        self.accounting = FrameAccounting(engine.describe())
        named = source.name, self._engine_name
        self._errors: list[BaseException] = []
        self._dispatcher = SinkDispatcher(sinks, self.policy, self.accounting, self._errors.append)
        self._renderer = Renderer(sinks, self._dispatcher, painter or Painter(self.labels), self.accounting, *named)
        self._frames: Mailbox[Frame] = Mailbox(self.policy, superseded=lambda _: self.accounting.dropped("superseded"))
        self._results: Mailbox[Result] = Mailbox("every", depth=1 if self.policy == "latest" else 2)
        self._control = RunControl(lambda: self._dispatcher.halted)
        self._all_handed = False
        self._unused, self._done = threading.Semaphore(), threading.Event()
        self._asked_ns = self._status_ns = 0

    @property
    def state(self) -> RunState:
        """Where the run is."""
        return self._control.state

    @property
    def serving(self) -> Sink | None:
        """The sink that the thread of :meth:`run` is at just now: what an end that does not come may be waiting for."""
        return self._dispatcher.serving

    def stop(self) -> None:
        """End the run soon, once the sinks that are at work return; from any thread and from a signal handler.

        A sink that does not return within 1.5 s is left behind, and that is an error.
        """
        self._control.stop()

    def run(self) -> Totals:
        """Run to the end of the source, a stop, or an error; once.

        Returns:
            The final totals.

        Raises:
            SourceError, EngineError, SinkError: what ended the run first, after everything was closed.
            UsageError: for a pipeline that runs or has run.
        """
        if not self._unused.acquire(blocking=False):
            raise UsageError(
                "a pipeline that runs or has run", "a new one, source, engine and sinks too, for every run"
            )
        works = (
            ("capture", self._capture, (self._frames,)),
            ("infer", self._process, (self._frames, self._results)),
            ("draw", self._publish, (self._results,)),
        )
        threads = [threading.Thread(target=self._in_thread, args=w[1:], name=w[0], daemon=True) for w in works]
        _running.add(self)
        self._control.phase = RunState.RUNNING
        try:
            self._dispatcher.start()
            for thread in threads:
                thread.start()
            self._dispatcher.attend(lambda: self._all_handed)
        except Exception as error:  # noqa: BLE001 - raised below, once everything is closed
            self._errors.append(error)
        finally:
            try:
                totals = self._shutdown(threads)
            finally:
                self._done.set()
                _running.discard(self)
        if self._errors:
            raise self._errors[0]
        return totals

    def _in_thread(self, work: Callable[[], None], ends: Iterable[Mailbox[Frame] | Mailbox[Result]]) -> None:
        """Do a thread's work, keep its error for :meth:`run`, and tell its neighbours that no more comes."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised by run
            self._errors.append(error)
        finally:
            for mailbox in ends:
                mailbox.close()

    def _capture(self) -> None:
        self._asked_ns = now_ns()
        try:
            for frame in self.source:
                self._asked_ns = 0  # handing it on may take long, and that is not the source's silence
                count = self.accounting.captured(frame.captured_ns)
                if self._control.ending or not self._frames.put(frame):
                    self.accounting.dropped("stopped")
                    return
                if count == self.max_frames:
                    return
                self._asked_ns = now_ns()
        except Exception as error:  # noqa: BLE001 - one that is closed under its reader may complain of just that
            if not self._control.ending:
                ours = wrapped(SourceError, self.source.name, error)
                raise ours from ours.__cause__
        finally:
            self._asked_ns = 0

    def _process(self) -> None:
        while not self._control.ending:
            # a frame is taken only when its result has a place to go: until then a newer one may replace it
            if not self._results.wait_for_room(_TICK_S):
                continue
            frame = self._frames.take(_TICK_S)
            if frame is not None:
                self._process_one(frame)
            elif self._frames.finished:
                return

    def _process_one(self, frame: Frame) -> None:
        try:
            result = process(frame, self.engine, self.labels)
        except BaseException as error:  # noqa: BLE001 - raised again
            self.accounting.dropped("failed")
            ours = wrapped(EngineError, self.engine.file or type(self.engine).__name__, error)
            raise ours from ours.__cause__
        self.accounting.processed()
        if not self._results.put(result):
            self.accounting.dropped("stopped")

    def _publish(self) -> None:
        try:
            while not (self._control.ending or self._results.finished):
                self._publish_next()
                self._tell_status()
                if self._dispatcher.stop_requested:
                    self.stop()
        finally:
            self._all_handed = True
            self._dispatcher.wake()

    def _publish_next(self) -> None:
        # a result is taken only when a sink is ready for it: until then the engine has no place for another one
        if not self._dispatcher.ready(_TICK_S):
            return
        result = self._results.take(_TICK_S)
        if result is not None:
            self._renderer.publish(result)
        else:
            self._watch()

    def _watch(self) -> None:
        """Tell the sinks when a live source has fallen silent."""
        asked_ns = self._asked_ns
        silent_s = (now_ns() - asked_ns) / 1e9 if asked_ns else 0.0
        patience_s = max(LOST_AFTER_S, 3 / self.source.fps if self.source.fps > 0 else 0.0)
        if self.source.live and silent_s > patience_s:
            self._renderer.lost(silent_s)

    def _shutdown(self, threads: list[threading.Thread]) -> Totals:
        """Stop everything within bounds; errors are kept, not raised."""
        complete = self._all_handed and not self._control.ending
        shutdown = Shutdown(self._control, self._dispatcher, self.accounting, self._errors.append)
        shutdown.drain(self.source, (self._frames, self._results), complete=complete)
        stuck = not shutdown.join(threads)
        totals = shutdown.close_sinks(self._totals, stuck=stuck)
        if not stuck:  # never under a thread that may still be inside it
            shutdown.attempt(self.engine.close)
        self._control.phase = RunState.CLOSED
        return totals

    def _engine_name(self) -> str:
        told = self.engine.describe()
        return f"{told['backend']} {told['precision']}"

    def _totals(self) -> Totals:
        """The counts so far, with the engine that is at work now."""
        self.accounting.works_with(self.engine.describe())
        return self.accounting.totals()

    def _tell_status(self) -> None:
        now = now_ns()
        if now - self._status_ns >= _STATUS_NS:
            self._status_ns = now
            totals = self._totals()
            self._renderer.status(totals)
            self.report(totals)


_running: set[Pipeline] = set()


def _end_all() -> None:
    """What is still at work in C++ when the interpreter ends aborts the process."""
    until = now_ns() + int(_EXIT_S * 1e9)
    running = list(_running)
    for pipeline in running:
        pipeline.stop()
    for pipeline in running:
        pipeline._done.wait(max(0.0, (until - now_ns()) / 1e9))


atexit.register(_end_all)
os.register_at_fork(after_in_child=_running.clear)
