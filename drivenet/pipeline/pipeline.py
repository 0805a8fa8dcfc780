"""One run of one source: three threads between it and its sinks."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Sequence

from drivenet.engine.base import Engine
from drivenet.errors import EngineError, SourceError, UsageError, wrapped
from drivenet.frame import Frame
from drivenet.hud import engine_label
from drivenet.latency import Timeline, now_ns
from drivenet.log import mask_text
from drivenet.overlay import Painter
from drivenet.pipeline.accounting import FrameAccounting
from drivenet.pipeline.budget import Budget
from drivenet.pipeline.dispatcher import SinkDispatcher
from drivenet.pipeline.failures import part_of, raise_all
from drivenet.pipeline.given import check_parts, checked_frames
from drivenet.pipeline.health import HealthMonitor
from drivenet.pipeline.in_time import InTime
from drivenet.pipeline.mailbox import Mailbox
from drivenet.pipeline.pictures import PictureWatch
from drivenet.pipeline.renderer import Renderer
from drivenet.pipeline.shutdown import Shutdown
from drivenet.pipeline.state import RunControl, RunState
from drivenet.record import Record
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, SinkAwayError
from drivenet.sources.base import Source
from drivenet.stages import Stage, default_stages, stage_names
from drivenet.stages.lanes import Lanes

_TICK_S = 0.25
#: How often health is decided.
_CHECK_NS = 240_000_000
_STATUS_NS = 500_000_000
#: How long the interpreter's end waits for runs in threads that it does not wait for itself.
_EXIT_S = 4.0


class Pipeline:
    """One run. Frames are captured in one thread, processed in a second and drawn in a third; every sink is served
    in one of its own, or in the caller's if it asks for that. With an engine of several lanes, as many frames as it has
    are prepared and inferred in threads of their own.

    The pipeline owns what it is given: source, engine and sinks are closed when the run ends, however it ends.
    At the end ``captured == published + sum(dropped.values())``; drops are ``superseded`` by a newer frame before
    they were processed, left out for the ``budget``, not taken by any ``sink`` in time, ``stopped`` with the run, or
    ``failed`` with an engine or with sinks of which none had them. What was captured before the source failed, or
    processed before the engine failed, is still published.

    A slow sink drops frames of its own (see :class:`~drivenet.result.Totals`) and delays nobody, but that under
    ``every`` the run waits for sinks that ``block``. The engine is not asked for frames that no sink is ready for.

    Args:
        source: where frames come from.
        engine: what finds their classes.
        sinks: where results go.
        policy: ``latest`` or ``every``; None = ``latest`` for a live source, else ``every``.
        painter: draws the views, if a sink wants any; None = overlays.
        max_frames: end after so many captured frames.
        stages: what every frame passes, in order; None for :func:`drivenet.stages.default_stages`. They are closed at
            the end.
        report: called with the running totals about twice a second, from the thread that draws.
        source_id: names the source in health and events, where a node has several.
        budget: has fewer frames processed, or the engine's smaller one serve, where the node would be too late; for
            ``latest`` only.

    Raises:
        UsageError: for what is no source, engine, sink or stage, an unknown policy, a budget for ``every``, or fewer
            frames than one; source, engine and sinks stay the caller's then.
    """

    def __init__(
        self, source: Source, engine: Engine, sinks: Sequence[Sink], *, policy: str | None = None,
        painter: Painter | None = None, max_frames: int | None = None,
        report: Callable[[Totals], None] = lambda _: None, source_id: str = "",
        stages: Sequence[Stage] | None = None, budget: Budget | None = None,
    ) -> None:  # fmt: skip
        check_parts(source, engine, sinks, stages or ())
        if max_frames is not None and max_frames < 1:
            raise UsageError(f"max_frames {max_frames}", "at least 1, or None for all")
        self.source, self.engine, self.sinks = source, engine, tuple(sinks)
        self.labels = engine.spec.label_set
        self.policy = policy or ("latest" if source.live else "every")
        self.max_frames, self.report = max_frames, report
        self.stages = list(default_stages(engine, track=source.continuous) if stages is None else stages)
        self.source_id = source_id
        watch = (budget.see,) if budget else ()
        self.accounting = FrameAccounting(engine.describe(), stage_names(self.stages), source_id, *watch)
        named = source.name, self._engine_name
        self._errors: list[BaseException] = []
        self._noting = threading.Lock()
        self._lossy: dict[str, BaseException] = {}
        self.monitor = HealthMonitor(source, source_id, self.accounting.infer_p99_ms)
        self._in_time = InTime(budget, self.policy, engine, self.monitor)
        self._dispatcher = SinkDispatcher(sinks, self.policy, self.accounting, self._failed, self._away)
        self._renderer = Renderer(sinks, self._dispatcher, painter or Painter(self.labels), self.accounting, *named)
        self._pictures = PictureWatch(self.monitor)
        self._frames: Mailbox[Frame] = Mailbox(self.policy, superseded=lambda _: self.accounting.dropped("superseded"))
        self._lanes = Lanes(self.stages, engine.lanes, self._taken, self.monitor.working)
        self._results: Mailbox[Result] = Mailbox("every", depth=1 if self.policy == "latest" else 2)
        self._control = RunControl(lambda: self._dispatcher.halted)
        self._all_handed = False
        self._unused, self._done = threading.Semaphore(), threading.Event()
        self._checked_ns = self._status_ns = 0

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
            self._failed(error)
        finally:
            try:
                totals = self._shutdown(threads)
            finally:
                self._done.set()
                _running.discard(self)
        raise_all([*self._errors, *self._lossy.values()])
        return totals

    def _failed(self, error: BaseException) -> None:
        """Keep an error for the end of the run, and let everybody know; what two threads saw is one error."""
        text = str(error) or type(error).__name__
        with self._noting:
            if any(str(known) == text for known in self._errors):
                return
            self._errors.append(error)
        self.accounting.note(error=mask_text(text))
        self.monitor.failed(part_of(error), text)

    def _away(self, name: str, error: SinkAwayError | None) -> None:
        """An output is tried again, or works again; that it lost frames is an error at the end of the run."""
        code = f"output.{name}"
        if error is None:
            self.monitor.withdraw(code)
            self.monitor.happened("info", "output.back", f"{name} works again")
            return
        self.monitor.report(code, "outputs", "degraded", str(error))
        follows = "the run goes on without it" if error.for_good else "it is tried again"
        self.monitor.happened("warning", "output.away", f"{name}: {error}; {follows}")
        if name not in self._lossy:
            self._lossy[name] = error
            self.accounting.note(error=mask_text(str(error)))

    def _in_thread(self, work: Callable[[], None], ends: Iterable[Mailbox[Frame] | Mailbox[Result]]) -> None:
        """Do a thread's work, keep its error for :meth:`run`, and tell its neighbours that no more comes."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised by run
            self._failed(error)
        finally:
            for mailbox in ends:
                mailbox.close()

    def _capture(self) -> None:
        self.monitor.source_asked()
        try:
            for frame in checked_frames(self.source):
                self.monitor.source_gave(frame.size)  # handing it on may take long: that is not the source's silence
                if self.source.live:
                    self._pictures.see(frame)
                count = self.accounting.captured(frame.captured_ns)
                if self._in_time.passes_over(count - 1):
                    self.accounting.dropped("budget")
                elif self._control.ending or not self._frames.put(frame):
                    self.accounting.dropped("stopped")
                    return
                if count == self.max_frames:
                    return
                self.monitor.source_asked()
        except Exception as error:  # noqa: BLE001 - one that is closed under its reader may complain of just that
            if not self._control.ending:
                ours = wrapped(SourceError, self.source.name, error)
                raise ours from ours.__cause__
        finally:
            self.monitor.source_ended()

    def _process(self) -> None:
        try:
            while not self._control.ending:
                # a frame is taken only when its result has a place to go: until then a newer one may replace it
                if not self._results.wait_for_room(_TICK_S):
                    continue
                if self._lanes.busy or self._frames.wait_for_item(_TICK_S):
                    self._process_next()
                elif self._frames.finished:
                    return
        finally:
            self.accounting.dropped("stopped", self._lanes.end())

    def _process_next(self) -> None:
        """Process the frame that is newest when the engine has a turn for it."""
        self._in_time.choose_engine()
        self.monitor.working("turn at the engine")
        with self.engine.turn(lambda: self._control.ending) as granted:
            if granted:
                self._lanes.begin()
            if self._lanes.busy:
                self._process_one()
        self.monitor.working("")

    def _taken(self) -> Record | None:
        """A record of the frame that is next, if one waits."""
        frame = self._frames.take(0)
        if frame is None:
            return None
        timeline = Timeline(frame.captured_ns).then("queue", frame.captured_ns)
        return Record(frame, self.labels, timeline, source_id=self.source_id)

    def _process_one(self) -> None:
        self.monitor.working("queue")
        try:
            result = self._lanes.finish()
        except BaseException as error:  # noqa: BLE001 - raised again
            self.accounting.dropped("failed")
            ours = wrapped(EngineError, self.engine.file or type(self.engine).__name__, error)
            raise ours from ours.__cause__
        finally:
            self.monitor.working("")
        self.accounting.processed()
        if not self._results.put(result):
            self.accounting.dropped("stopped")

    def _publish(self) -> None:
        try:
            while not (self._control.ending or self._results.finished):
                self._publish_next()
                self._tell_health()
                self._tell_status()
                if self._dispatcher.stop_requested:
                    self.stop()
        finally:
            try:
                self._tell_health(now=True)
            finally:  # the run waits for this
                self._all_handed = True
                self._dispatcher.wake()

    def _publish_next(self) -> None:
        # a result is taken only when a sink is ready for it: until then the engine has no place for another one
        is_ready = self._dispatcher.ready(_TICK_S)
        self.monitor.blocked(not is_ready)
        result = self._results.take(_TICK_S) if is_ready else None
        if result is not None:
            self._renderer.publish(result)
            self.monitor.published(result.frame.captured_ns)

    def _tell_health(self, *, now: bool = False) -> None:
        """Find out how the run is, every quarter of a second, and tell the sinks."""
        if now or now_ns() - self._checked_ns >= _CHECK_NS:
            self._checked_ns = now_ns()
            self._in_time.look(now_ns())
            health, events = self.monitor.check()
            self.accounting.note(health=health.to_dict())
            for event in events:
                self.accounting.note(event=event.code)
                self._renderer.event(event)
            self._renderer.health(health)

    def _shutdown(self, threads: list[threading.Thread]) -> Totals:
        """Stop everything within bounds; errors are kept, not raised."""
        complete = self._all_handed and not self._control.ending
        shutdown = Shutdown(self._control, self._dispatcher, self.accounting, self._failed)
        shutdown.drain(self.source, (self._frames, self._results), complete=complete)
        stuck = not shutdown.join([*threads, *self._lanes.threads])
        shutdown.attempt(lambda: self._tell_health(now=True))
        totals = shutdown.close_sinks(self._totals, stuck=stuck)
        if not stuck:  # never under a thread that may still be inside it
            for stage in self.stages:
                shutdown.attempt(stage.close)
            shutdown.attempt(self.engine.close)
        self._control.phase = RunState.CLOSED
        return totals

    def _engine_name(self) -> str:
        return engine_label(self.engine.describe())

    def _totals(self) -> Totals:
        """The counts so far, with the engine that is at work now."""
        self.accounting.works_with(self.engine.describe())
        return self.accounting.totals()

    def _tell_status(self) -> None:
        now = now_ns()
        if now - self._status_ns >= _STATUS_NS:
            self._status_ns = now
            self._renderer.status(totals := self._totals())
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
