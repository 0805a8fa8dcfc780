"""The last leg of a run: draws results once for all sinks, and hands them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from drivenet.frame import Image
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

    def publish(self, result: Result) -> None:
        """Draw a result and hand it out, or book the frame as failed and raise."""
        try:
            drawn = self._drawn(result)
        except BaseException:
            self._accounting.dropped("failed")
            raise
        self._dispatcher.hand(drawn)

    def lost(self, seconds: float) -> None:
        """Show the last picture marked as lost, if there was one."""
        if self._last is not None:
            self._last = self._last if self._last.view is not None else self._with_view(self._last)
            view = lost_view(cast("Image", self._last.view), seconds)
            self._dispatcher.tell("lost", lambda s: s.lost(view, seconds))

    def status(self, totals: Totals) -> None:
        """Tell every sink the counts so far."""
        self._dispatcher.tell("status", lambda s: s.status(totals))

    def _drawn(self, result: Result) -> Result:
        """The result, with its view if a sink wants one."""
        result.stamps.handed = now_ns()
        self._last = result = self._with_view(result) if self._needs_view else result
        result.stamps.drawn = now_ns()
        return result

    def _with_view(self, result: Result) -> Result:
        hud = self._accounting.hud(result.stamps, self._source, self._engine())
        view = self._painter.draw(result.frame, result.classmap, result.scene, hud)
        return replace(result, view=view)
