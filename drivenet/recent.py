"""Rates and medians of the last seconds: what a node does now, where totals say what it did on average."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from statistics import median

from drivenet.latency import now_ns

#: What counts as now.
WINDOW_S = 10.0
_WINDOW_NS = int(WINDOW_S * 1e9)
#: Events are counted by spans of this length, so that memory does not grow with the rate.
_BIN_NS = 250_000_000
#: Frames whose stage times are kept: the last of the window's, where there are more.
_KEPT = 600


class RecentRate:
    """Events a second over the last 10 s, or since the first event after a longer silence."""

    def __init__(self) -> None:
        self._bins: deque[list[int]] = deque()
        self._last_ns = 0
        self._forgot = False

    def tick(self, at_ns: int) -> None:
        """Count one event."""
        if not self._bins or at_ns - self._bins[-1][0] >= _BIN_NS:
            self._bins.append([at_ns, 0])
            self._forget(at_ns)
        self._bins[-1][1] += 1
        self._last_ns = at_ns

    def fps(self, now: int) -> float | None:
        """The rate now: 0 after 10 s without an event, None before the second one.

        That of the n - 1 intervals between n events; less once the next one is overdue, which makes it n events since
        the first.
        """
        self._forget(now)
        count = sum(n for _, n in self._bins)
        if count < 2:
            return count / WINDOW_S if self._forgot else None
        first_ns = self._bins[0][0]
        if self._last_ns <= first_ns:
            return None
        steady = 1e9 * (count - 1) / (self._last_ns - first_ns)
        return min(steady, 1e9 * count / (now - first_ns)) if now > first_ns else steady

    def _forget(self, now: int) -> None:
        while self._bins and now - self._bins[0][0] > _WINDOW_NS:
            self._bins.popleft()
            self._forgot = True


class RecentStages:
    """Stage times of the frames of the last 10 s, at most the last 600."""

    def __init__(self) -> None:
        self._rows: deque[tuple[int, tuple[str, ...], tuple[float, ...]]] = deque(maxlen=_KEPT)

    def add(self, at_ns: int, stages_ms: Mapping[str, float]) -> None:
        """Record a frame."""
        self._rows.append((at_ns, tuple(stages_ms), tuple(stages_ms.values())))

    def p50(self, now: int | None = None) -> dict[str, float]:
        """The median by stage, in ms; empty where no frame came."""
        since = (now_ns() if now is None else now) - _WINDOW_NS
        while self._rows and self._rows[0][0] < since:
            self._rows.popleft()
        # frames that passed the same stages, mostly all, become columns at once: four times as fast as one by one
        alike: dict[tuple[str, ...], list[tuple[float, ...]]] = {}
        for _, stages, row in self._rows:
            alike.setdefault(stages, []).append(row)
        columns: dict[str, list[float]] = {}
        for stages, rows in alike.items():
            for stage, values in zip(stages, zip(*rows, strict=True), strict=True):
                columns.setdefault(stage, []).extend(values)
        return {stage: max(0.0, median(values)) for stage, values in columns.items()}
