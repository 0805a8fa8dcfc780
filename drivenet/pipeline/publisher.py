"""The last leg of a run: draws results once for all sinks, and hands them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from drivenet.frame import Image
from drivenet.latency import now_ns
from drivenet.overlay import Painter, lost_view
from drivenet.pipeline.crew import Crew
from drivenet.pipeline.ledger import Ledger
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink


class Publisher:
    """Belongs to one thread.

    Args:
        sinks: all of them.
        crew: serves them.
        painter: draws the views, if a sink wants any.
        ledger: is told of frames that could not be drawn.
        source: what pictures name as their source.
        engine: asked for what pictures name as their engine.
    """

    def __init__(
        self, sinks: Sequence[Sink], crew: Crew, painter: Painter, ledger: Ledger, source: str,
        engine: Callable[[], str],
    ) -> None:  # fmt: skip
        self._needs_view = any(s.needs_view for s in sinks if not s.records)
        self._crew, self._painter, self._ledger = crew, painter, ledger
        self._source, self._engine = source, engine
        self._last: Result | None = None

    def publish(self, result: Result) -> None:
        """Draw a result and hand it out, or book the frame as failed and raise."""
        try:
            drawn = self._drawn(result)
        except BaseException:
            self._ledger.dropped("failed")
            raise
        self._crew.hand(drawn)

    def lost(self, seconds: float) -> None:
        """Show the last picture marked as lost, if there was one."""
        if self._last is not None:
            self._last = self._last if self._last.view is not None else self._with_view(self._last)
            view = lost_view(cast("Image", self._last.view), seconds)
            self._crew.tell("lost", lambda s: s.lost(view, seconds))

    def status(self, totals: Totals) -> None:
        """Tell every sink the counts so far."""
        self._crew.tell("status", lambda s: s.status(totals))

    def _drawn(self, result: Result) -> Result:
        """The result, with its view if a sink wants one."""
        result.stamps.handed = now_ns()
        self._last = result = self._with_view(result) if self._needs_view else result
        result.stamps.drawn = now_ns()
        return result

    def _with_view(self, result: Result) -> Result:
        hud = self._ledger.hud(result.stamps, self._source, self._engine())
        view = self._painter.draw(result.frame, result.classmap, result.scene, hud)
        return replace(result, view=view)
