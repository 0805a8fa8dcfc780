"""Percentiles of latencies with an interval: the moving-block bootstrap, since neighbouring frames are alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivenet.latency import P99_MIN_SAMPLES

#: Frames in a block, resamples, and the share of them that an interval holds.
BLOCK, RESAMPLES, COVERED = 10, 400, 0.95
_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Interval:
    """A percentile and where it would probably fall in another run like this one."""

    value: float
    low: float
    high: float

    @property
    def log_error(self) -> float:
        """Standard error of the logarithm, taking the interval for a normal one; 0 where it is not known."""
        return math.log(self.high / self.low) / (2 * _NORMAL_95) if 0 < self.low < self.high else 0.0


def interval(samples_ms: Sequence[float], percent: float, seed: int = 0) -> Interval:
    """A percentile (0..100) with its 95 % interval (Künsch 1989: blocks of :data:`BLOCK` consecutive samples).

    The same samples give the same interval. Fewer than two blocks give no interval beyond what was seen.
    """
    values = np.asarray(samples_ms, float)
    value = float(np.percentile(values, percent))
    n, block = len(values), min(BLOCK, max(1, len(values) // 2))
    if n < 4:
        return Interval(value, float(values.min()), float(values.max()))
    starts = np.random.default_rng(seed).integers(0, n - block + 1, (RESAMPLES, math.ceil(n / block)))
    again = values[(starts[..., None] + np.arange(block)).reshape(RESAMPLES, -1)[:, :n]]
    low, high = np.percentile(np.percentile(again, percent, axis=1), [50 - 50 * COVERED, 50 + 50 * COVERED])
    return Interval(value, float(low), float(high))


def summary(samples_ms: Sequence[float]) -> dict[str, Any]:
    """``n, p50, p50_interval, p90, p90_interval, [p99,] max`` in ms; empty without samples."""
    if not len(samples_ms):
        return {}
    middle, high = interval(samples_ms, 50), interval(samples_ms, 90)
    out: dict[str, Any] = {
        "n": len(samples_ms),
        "p50": round(middle.value, 4), "p50_interval": [round(middle.low, 4), round(middle.high, 4)],
        "p90": round(high.value, 4), "p90_interval": [round(high.low, 4), round(high.high, 4)],
    }  # fmt: skip
    if len(samples_ms) >= P99_MIN_SAMPLES:
        out["p99"] = round(float(np.percentile(samples_ms, 99)), 4)
    out["max"] = round(float(np.max(samples_ms)), 4)
    return out


@dataclass(frozen=True)
class Ratio:
    """One latency over another.

    Args:
        value: below 1 is faster.
        low, high: its 95 % interval.
    """

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``faster`` or ``slower`` where 1 is outside the interval, else ``no more than noise``."""
        return "slower" if self.low > 1 else "faster" if self.high < 1 else "no more than noise"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"ratio": round(self.value, 4), "interval": [round(self.low, 4), round(self.high, 4)],
                "verdict": self.verdict}  # fmt: skip


def ratio(now: Interval, before: Interval) -> Ratio:
    """``now`` over ``before``, taken for independent and, in their logarithms, normal."""
    value = now.value / before.value if before.value else math.inf
    margin = math.exp(_NORMAL_95 * math.hypot(now.log_error, before.log_error))
    return Ratio(value, value / margin, value * margin)
