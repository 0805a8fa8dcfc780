"""The books of a run: every captured frame is published or dropped for a reason, exactly once."""

from __future__ import annotations

import threading
from typing import Any

from drivenet.hud import Hud
from drivenet.latency import END_TO_END, STAGES, RateMeter, Stamps, now_ns
from drivenet.result import Totals

#: How old medians shown in the picture may be.
_HUD_EVERY_NS = 500_000_000


class FrameAccounting:
    """Counts from all threads of a pipeline.

    Args:
        engine: what :meth:`~drivenet.engine.base.Engine.describe` says.
    """

    def __init__(self, engine: dict[str, Any]) -> None:
        self._lock = threading.Lock()
        self._totals = Totals(engine=engine)
        self._source, self._processed, self._published = RateMeter(), RateMeter(), RateMeter()
        self._p50: dict[str, float] = {}
        self._p50_at = 0
        self._settled = False

    def works_with(self, engine: dict[str, Any]) -> None:
        """What is at work now: an engine may be exchanged in the middle of a run."""
        with self._lock:
            self._totals.engine = engine

    def enlist(self, sink: str) -> None:
        """A sink that is going to be served; no other has its name."""
        self._totals.sinks[sink] = {"published": 0, "dropped": 0}

    def captured(self, captured_ns: int) -> int:
        """Book a frame in; how many there are now."""
        with self._lock:
            if not self._settled:
                self._totals.captured += 1
                self._source.tick(captured_ns)
            return self._totals.captured

    def processed(self) -> None:
        """An inference was finished."""
        with self._lock:
            self._processed.tick()

    def published(self, stamps: Stamps) -> None:
        """Book a frame out that reached a sink."""
        with self._lock:
            self._totals.published += 1
            self._totals.latency.add(stamps)
            self._published.tick(stamps.last_published())

    def dropped(self, reason: str, count: int = 1) -> None:
        """Book frames out that nobody will see."""
        with self._lock:
            if count and not self._settled:
                self._totals.dropped[reason] = self._totals.dropped.get(reason, 0) + count

    def served(self, sink: str, outcome: str) -> None:
        """Count a frame for one sink: ``published``, ``dropped`` or ``failed``; no matter for the frame itself."""
        with self._lock:
            counts = self._totals.sinks[sink]
            counts[outcome] = counts.get(outcome, 0) + 1

    def settle(self) -> None:
        """Close the books while a thread that does not end still holds a frame: it counts as ``stopped``."""
        with self._lock:
            t, self._settled = self._totals, True
            held = t.captured - t.published - sum(t.dropped.values())
            if held:
                t.dropped["stopped"] = t.dropped.get("stopped", 0) + held

    def totals(self) -> Totals:
        """A copy of the counts so far."""
        with self._lock:
            t = self._totals
            sinks = {name: dict(counts) for name, counts in t.sinks.items()}
            return Totals(t.captured, t.published, dict(t.dropped), self._fps(), t.latency.copy(), t.engine, sinks)

    def hud(self, stamps: Stamps, source: str, engine: str) -> Hud:
        """The figures for a picture that is drawn now; medians are at most half a second old."""
        now = now_ns()
        with self._lock:
            t = self._totals
            if now - self._p50_at > _HUD_EVERY_NS and t.published:
                self._p50 = {name: t.latency.by_stage[name].percentile(50) for name in (END_TO_END, *STAGES)}
                self._p50_at = now
            return Hud((now - stamps.captured) / 1e6, self._p50, self._fps(), dict(t.dropped), source, engine)

    def _fps(self) -> dict[str, float | None]:
        """Over one span for both that follow the engine: no more is ever published than was processed."""
        return {
            "source": self._source.fps(),
            "processed": self._processed.fps(self._published),
            "published": self._published.fps(self._processed),
        }
