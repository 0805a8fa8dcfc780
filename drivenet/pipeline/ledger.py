"""The books of a run: every captured frame is published or dropped for a reason, exactly once."""

from __future__ import annotations

import threading
from typing import Any

from drivenet.hud import Hud
from drivenet.latency import END_TO_END, STAGES, RateMeter, Stamps, now_ns
from drivenet.result import Totals

#: How long medians shown in the picture may be old.
_HUD_EVERY_NS = 500_000_000


class Ledger:
    """Counts from all threads of a pipeline.

    Args:
        engine: what :meth:`~drivenet.engine.base.Engine.describe` says.
    """

    def __init__(self, engine: dict[str, Any]) -> None:
        self._lock = threading.Lock()
        self._totals = Totals(engine=engine)
        self._rates = {"source": RateMeter(), "processed": RateMeter(), "published": RateMeter()}
        self._p50: dict[str, float] = {}
        self._p50_at = 0
        self.last_captured_ns = now_ns()

    def captured(self, captured_ns: int) -> int:
        """Book a frame in; how many there are now."""
        with self._lock:
            self._totals.captured += 1
            self._rates["source"].tick(captured_ns)
            self.last_captured_ns = now_ns()
            return self._totals.captured

    def processed(self) -> None:
        """An inference was finished."""
        with self._lock:
            self._rates["processed"].tick()

    def published(self, stamps: Stamps) -> None:
        """Book a frame out: every sink has it."""
        with self._lock:
            self._totals.published += 1
            self._totals.latency.add(stamps)
            self._rates["published"].tick(stamps.last_published())

    def dropped(self, reason: str, count: int = 1) -> None:
        """Book frames out that nobody will see."""
        if count:
            with self._lock:
                self._totals.dropped[reason] = self._totals.dropped.get(reason, 0) + count

    def totals(self) -> Totals:
        """The counts so far. The latency histograms are shared, the rest is a copy."""
        with self._lock:
            t = self._totals
            fps = {kind: meter.fps for kind, meter in self._rates.items()}
            return Totals(t.captured, t.published, dict(t.dropped), fps, t.latency, t.engine)

    def hud(self, stamps: Stamps, source: str, engine: str) -> Hud:
        """The figures for a picture that is drawn now; medians are at most half a second old."""
        now = now_ns()
        totals = self.totals()
        if now - self._p50_at > _HUD_EVERY_NS and totals.published:
            with self._lock:
                by_stage = totals.latency.by_stage
                self._p50 = {name: by_stage[name].percentile(50) for name in (END_TO_END, *STAGES)}
            self._p50_at = now
        return Hud((now - stamps.captured) / 1e6, self._p50, totals.fps, totals.dropped, source, engine)
