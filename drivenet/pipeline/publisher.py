"""The last leg of a run: draws results and serves the sinks, all in one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import cast

from drivenet.errors import SinkError
from drivenet.frame import Image
from drivenet.latency import now_ns
from drivenet.overlay import Painter, lost_view
from drivenet.pipeline.ledger import Ledger
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink


class Publisher:
    """Gives results to sinks, first to those that are timed, then to those that record the times.

    Args:
        sinks: all of them.
        painter: draws the views, if a sink wants any.
        ledger: is told of every frame.
        source: what pictures name as their source.
        engine: likewise as their engine.
    """

    #: The sink that is at work just now, None while none is.
    serving: Sink | None = None

    def __init__(self, sinks: Sequence[Sink], painter: Painter, ledger: Ledger, source: str, engine: str) -> None:
        self._timed = [s for s in sinks if not s.records]
        self._recorders = [s for s in sinks if s.records]
        self._all = (*self._timed, *self._recorders)
        self._needs_view = any(s.needs_view for s in self._timed)
        self._painter, self._ledger = painter, ledger
        self._source, self._engine = source, engine
        self._last: Result | None = None

    @property
    def stop_requested(self) -> bool:
        """Whether a sink wants the run to end."""
        return any(s.stop_requested for s in self._all)

    def publish(self, result: Result) -> None:
        """Serve every sink, or book the frame as failed and raise; a recorder's failure spares the others."""
        try:
            drawn = self._drawn(result)
            for sink in self._timed:
                self._serve(sink, lambda s: s.publish(drawn))
                result.stamps.published[sink.name] = now_ns()
        except BaseException:
            self._ledger.dropped("failed")
            raise
        self._ledger.published(result.stamps)
        self._each(self._recorders, lambda s: s.publish(drawn))

    def lost(self, seconds: float) -> None:
        """Show the last picture marked as lost, if there was one."""
        if self._last is not None:
            self._last = self._last if self._last.view is not None else self._with_view(self._last)
            view = lost_view(cast("Image", self._last.view), seconds)
            self._each(self._all, lambda s: s.lost(view, seconds))

    def status(self, totals: Totals) -> None:
        """Tell every sink the counts so far."""
        self._each(self._all, lambda s: s.status(totals))

    def close(self, totals: Totals) -> None:
        """Close every sink, also after one has failed to; then raise the first one's error."""
        self._each(self._all, lambda s: s.close(totals))

    def _drawn(self, result: Result) -> Result:
        """The result, with its view if a sink wants one."""
        result.stamps.handed = now_ns()
        self._last = result = self._with_view(result) if self._needs_view else result
        result.stamps.drawn = now_ns()
        return result

    def _with_view(self, result: Result) -> Result:
        hud = self._ledger.hud(result.stamps, self._source, self._engine)
        view = self._painter.draw(result.frame, result.classmap, result.scene, hud)
        return replace(result, view=view)

    def _each(self, sinks: Iterable[Sink], act: Callable[[Sink], None]) -> None:
        """Serve every sink, also after one has failed; then raise the first one's error."""
        failed: list[Exception] = []
        for sink in sinks:
            try:
                self._serve(sink, act)
            except Exception as error:  # noqa: BLE001 - raised below
                failed.append(error)
        if failed:
            raise failed[0]

    def _serve(self, sink: Sink, act: Callable[[Sink], None]) -> None:
        self.serving = sink
        try:
            act(sink)
        except OSError as error:
            raise SinkError(f"{sink.name}: {error.strerror or error}") from error
        finally:
            self.serving = None
