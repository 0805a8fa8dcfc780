"""Intervals of percentiles: that they hold what they should, and what is noise."""

from __future__ import annotations

import numpy as np
import pytest

from drivenet.benchmark.bootstrap import interval, ratio, summary


def test_an_interval_holds_the_true_median_as_often_as_it_says() -> None:
    """200 runs of 150 samples from one distribution: about 95 % of the intervals hold its median."""
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        found = interval(rng.lognormal(2.0, 0.3, 150).tolist(), 50, seed)
        held += found.low <= np.exp(2.0) <= found.high
    assert 0.86 <= held / 200 <= 0.995


def test_samples_that_are_alike_give_wide_intervals() -> None:
    """Ten samples repeated ten times each say less than a hundred different ones."""
    rng = np.random.default_rng(2)
    few = np.repeat(rng.normal(10, 1, 20), 10).tolist()
    many = rng.normal(10, 1, 200).tolist()
    assert interval(few, 50).high - interval(few, 50).low > 2 * (interval(many, 50).high - interval(many, 50).low)


def test_the_same_samples_give_the_same_interval() -> None:
    samples = np.random.default_rng(3).normal(10, 1, 50).tolist()
    assert interval(samples, 90) == interval(samples, 90)
    few = interval([3.0, 1.0, 2.0], 50)
    assert (few.value, few.low, few.high) == (2.0, 1.0, 3.0)
    assert summary([]) == {}
    assert "p99" not in summary(samples)
    assert "p99" in summary(samples * 40)


def test_a_ratio_knows_noise() -> None:
    rng = np.random.default_rng(4)
    one, other, slow = (interval(rng.normal(mean, 1, 200).tolist(), 50) for mean in (10, 10, 11))
    assert ratio(other, one).verdict == "no more than noise"
    assert ratio(slow, one).verdict == "slower"
    assert ratio(one, slow).verdict == "faster"
    assert ratio(slow, one).value == pytest.approx(1.1, abs=0.03)
