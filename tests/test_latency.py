"""Latency: stages that never exceed the whole, percentiles in bounded memory, rates over n - 1 intervals."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivenet.latency import (
    END_TO_END,
    P99_MIN_SAMPLES,
    STAGES,
    Histogram,
    RateMeter,
    StageHistograms,
    Timeline,
    now_ns,
)

MS = 1_000_000


def timeline(steps: list[int]) -> Timeline:
    """So many ms from the capture, to the end of each stage up to ``postprocess``, to the drawing, and to its end and
    that of ``publish``.
    """
    captured, *rest = np.cumsum(steps).tolist()
    *ends, handed, drawn, published = rest
    line = Timeline(captured * MS)
    for name, end in zip(STAGES, ends, strict=False):
        line = line.then(name, line.end, end * MS)
    return line.then("draw", handed * MS, drawn * MS).then("publish", drawn * MS, published * MS)


def test_stages_are_the_differences_of_their_ends() -> None:
    s = timeline([100, 1, 2, 3, 4, 10, 6, 5])
    assert s.stages_ms() == {"queue": 1, "prepare": 2, "infer": 3, "postprocess": 4, "draw": 6, "publish": 5}
    assert s.end_to_end_ms() == 1 + 2 + 3 + 4 + 10 + 6 + 5


def test_a_timeline_is_continued_and_never_changed() -> None:
    begun = Timeline(5)
    assert (begun.end, begun.end_to_end_ms(), begun.stages_ms()) == (5, 0, {})
    assert begun.then("queue", 5, 7).end == 7
    assert begun == Timeline(5)


@given(st.lists(st.integers(0, 10**5), min_size=8, max_size=8))
def test_stages_never_exceed_the_whole(steps: list[int]) -> None:
    s = timeline(steps)
    assert sum(s.stages_ms().values()) <= s.end_to_end_ms() + 1e-6
    assert all(v >= 0 for v in s.stages_ms().values())


def test_the_clock_is_monotonic() -> None:
    times = [now_ns() for _ in range(100)]
    assert times == sorted(times)


@given(st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=300), st.floats(0, 100))
def test_percentiles_are_within_half_a_percent(values: list[float], percent: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    ordered = sorted(values)
    rank = percent / 100 * (len(values) - 1)
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    assert low * 0.994 <= histogram.percentile(percent) <= high * 1.006
    assert histogram.percentile(percent) <= histogram.max == max(values)
    assert histogram.n == len(values)
    assert histogram.mean == pytest.approx(sum(values) / len(values))


def test_an_empty_histogram_and_values_below_zero() -> None:
    histogram = Histogram()
    assert (histogram.n, histogram.mean, histogram.percentile(50), histogram.max) == (0, 0, 0, 0)
    assert histogram.summary() == {"n": 0, "p50": 0, "p90": 0, "max": 0}
    histogram.add(-1)
    assert (histogram.n, histogram.max, histogram.percentile(50)) == (1, 0, 0)


def test_memory_does_not_grow_with_samples() -> None:
    histogram = Histogram()
    for i in range(20_000):
        histogram.add(1 + i % 1000 / 10)
    before = len(pickle.dumps(histogram))
    for i in range(20_000):
        histogram.add(1 + i % 1000 / 10)
    assert histogram.n == 40_000
    assert len(pickle.dumps(histogram)) <= before + 64


def test_p99_is_told_only_from_enough_samples() -> None:
    histogram = Histogram()
    for _ in range(P99_MIN_SAMPLES - 1):
        histogram.add(10)
    assert list(histogram.summary()) == ["n", "p50", "p90", "max"]
    histogram.add(10)
    summary = histogram.summary()
    assert list(summary) == ["n", "p50", "p90", "p99", "max"]
    assert summary["n"] == P99_MIN_SAMPLES == 2000
    assert summary["p99"] == pytest.approx(10, rel=0.005)


def test_stage_histograms_keep_every_stage_and_the_whole() -> None:
    histograms = StageHistograms()
    histograms.add(timeline([0, 1, 2, 3, 4, 5, 6, 5]))
    summary = histograms.summary()
    assert list(summary) == [END_TO_END, *STAGES]
    assert summary["infer"]["p50"] == pytest.approx(3, rel=0.005)
    assert summary[END_TO_END]["max"] == 1 + 2 + 3 + 4 + 5 + 6 + 5


def test_a_rate_counts_intervals_not_events() -> None:
    meter = RateMeter()
    assert meter.fps() is None
    for i in range(11):
        meter.tick(i * 100 * MS)
        assert meter.fps() == (pytest.approx(10) if i else None)
    assert meter.count == 11


def test_a_rate_of_events_at_one_time_is_not_infinite() -> None:
    meter = RateMeter()
    for _ in range(3):
        meter.tick(5)
    assert meter.fps() is None
    meter.tick()
    assert (meter.fps() or 0) > 0


def test_rates_over_one_span_are_as_their_counts() -> None:
    early, late, none = RateMeter(), RateMeter(), RateMeter()
    for i in range(11):
        early.tick(i * 100 * MS)
    for i in range(6):
        late.tick((1500 + i * 100) * MS)
    assert (early.fps(late, none), late.fps(early, none)) == (pytest.approx(5), pytest.approx(2.5))
    assert none.fps(early) is None


def test_percentiles_of_few_values_are_not_exceeded_by_more() -> None:
    """The p90 of two values was the smaller one."""
    for n in range(1, 60):
        values, histogram = [1.5**i for i in range(n)], Histogram()
        for value in values:
            histogram.add(value)
        for percent in (0, 50, 90, 99, 100):
            expected = values[max(0, -(-percent * n // 100) - 1)]
            assert histogram.percentile(percent) == pytest.approx(expected, rel=0.006), (n, percent)
