"""The books of a run: every captured frame is published or dropped for a reason, exactly once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from drivenet.hud import Hud
from drivenet.latency import END_TO_END, STAGES, RateMeter, StageHistograms, Timeline, now_ns
from drivenet.recent import WINDOW_S, RecentRate, RecentStages
from drivenet.result import Totals

#: How old rates and medians of the last seconds may be.
_LIVE_EVERY_NS = 450_000_000


class FrameAccounting:
    """Counts from all threads of a pipeline.

    Args:
        engine: what :meth:`~drivenet.engine.base.Engine.describe` says.
        stages: what frames pass, in order.
        source_id: which source of the node is counted.
        watch: told of the final times of every published frame.
    """

    def __init__(
        self, engine: dict[str, Any], stages: Sequence[str] = STAGES, source_id: str = "",
        watch: Callable[[Timeline], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._watch = watch
        self._lock = threading.Lock()
        self._totals = Totals(engine=engine, latency=StageHistograms(stages), source_id=source_id)
        self._source, self._processed, self._published = RateMeter(), RateMeter(), RateMeter()
        self._rates = {point: RecentRate() for point in ("source", "processed", "published")}
        self._stages = RecentStages()
        self._live: dict[str, Any] = {}
        self._live_at = 0
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
                self._rates["source"].tick(now_ns())
            return self._totals.captured

    def processed(self) -> None:
        """An inference was finished."""
        with self._lock:
            self._processed.tick()
            self._rates["processed"].tick(now_ns())

    def published(self, timeline: Timeline) -> None:
        """Book a frame out that reached a sink."""
        self._watch(timeline)
        with self._lock:
            self._totals.published += 1
            self._totals.latency.add(timeline)
            self._published.tick(timeline.end)
            now = now_ns()
            self._rates["published"].tick(now)
            self._stages.add(now, {END_TO_END: timeline.end_to_end_ms(), **timeline.stages_ms()})

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

    def note(self, *, health: dict[str, Any] | None = None, event: str = "", error: str = "") -> None:
        """Keep how the run is, that an event of this code happened, or an error of the run."""
        with self._lock:
            t = self._totals
            t.health = health or t.health
            if event:
                t.events[event] = t.events.get(event, 0) + 1
            if error:
                t.errors.append(error)

    def infer_p99_ms(self) -> float:
        """How long an inference took in 99 of 100 cases; 0 before the first."""
        with self._lock:
            infer = self._totals.latency.by_stage.get("infer")
            return infer.percentile(99) if infer else 0.0

    def totals(self) -> Totals:
        """A copy of the counts so far."""
        with self._lock:
            t = self._totals
            return replace(
                t, dropped=dict(t.dropped), fps=self._fps(), latency=t.latency.copy(),
                sinks={name: dict(counts) for name, counts in t.sinks.items()}, live=self._live_now(),
                health=dict(t.health), events=dict(t.events), errors=list(t.errors),
            )  # fmt: skip

    def hud(self, captured_ns: int, source: str, engine: str, warning: str = "") -> Hud:
        """The figures for a picture that is drawn now; rates and medians are at most half a second old."""
        with self._lock:
            live, dropped = self._live_now(), dict(self._totals.dropped)
        age_ms = (now_ns() - captured_ns) / 1e6
        return Hud(age_ms, live["p50_ms"], live["fps"], dropped, source, engine, warning)

    def _live_now(self) -> dict[str, Any]:
        """Rates and medians of the last seconds."""
        now = now_ns()
        if now - self._live_at > _LIVE_EVERY_NS or not self._live["p50_ms"]:
            fps = {point: rate.fps(now) for point, rate in self._rates.items()}
            self._live = {"window_s": WINDOW_S, "fps": fps, "p50_ms": self._stages.p50(now)}
            self._live_at = now
        return self._live

    def _fps(self) -> dict[str, float | None]:
        """Over one span for both that follow the engine: no more is ever published than was processed."""
        return {
            "source": self._source.fps(),
            "processed": self._processed.fps(self._published),
            "published": self._published.fps(self._processed),
        }
