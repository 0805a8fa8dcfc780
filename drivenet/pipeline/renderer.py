"""The last leg of a run: draws results once for all sinks, and hands them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from drivenet.frame import frozen
from drivenet.health import SILENT, Event, Health
from drivenet.latency import now_ns
from drivenet.overlay import Painter, lost_view
from drivenet.pipeline.accounting import FrameAccounting
from drivenet.pipeline.dispatcher import SinkDispatcher
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink


class Renderer:
    """Belongs to one thread.

    Args:
        sinks: all of them.
        dispatcher: serves them.
        painter: draws the views, if a sink wants any.
        accounting: is told of frames that could not be drawn.
        source: what pictures name as their source.
        engine: asked for what pictures name as their engine.
    """

    def __init__(
        self, sinks: Sequence[Sink], dispatcher: SinkDispatcher, painter: Painter, accounting: FrameAccounting,
        source: str, engine: Callable[[], str],
    ) -> None:  # fmt: skip
        self._needs_view = any(s.needs_view for s in sinks if not s.records)
        self._dispatcher, self._painter, self._accounting = dispatcher, painter, accounting
        self._source, self._engine = source, engine
        self._last: Result | None = None
        self._health = Health()

    def publish(self, result: Result) -> None:
        """Draw a result and hand it out, or book the frame as failed and raise."""
        try:
            drawn = self._drawn(result)
        except BaseException:
            self._accounting.dropped("failed")
            raise
        self._dispatcher.hand(drawn)

    def health(self, health: Health) -> None:
        """Tell every sink how the run is; where nothing new comes, show the last picture marked."""
        self._health = health
        self._dispatcher.tell("health", lambda s: s.health(health), always=True)
        if health.state in SILENT and self._last is not None and self._last.view is not None:
            view = frozen(lost_view(self._last.view, health.seconds(), health.state.upper()))
            self._dispatcher.tell("marked", lambda s: s.marked(view, health))

    def event(self, event: Event) -> None:
        """Tell every sink what happened."""
        self._dispatcher.tell("event", lambda s: s.event(event), always=True)

    def status(self, totals: Totals) -> None:
        """Tell every sink the counts so far."""
        self._dispatcher.tell("status", lambda s: s.status(totals))

    def _drawn(self, result: Result) -> Result:
        """The result, with its view if a sink wants one."""
        start = now_ns()
        result = self._with_view(result) if self._needs_view else result
        self._last = result = result.with_timeline(result.timeline.then("draw", start))
        return result

    def _with_view(self, result: Result) -> Result:
        hud = self._accounting.hud(result.frame.captured_ns, self._source, self._engine(), self._health.warning)
        view = self._painter.draw(result.frame, result.classmap, result.scene, hud)
        return replace(result, view=frozen(view))
