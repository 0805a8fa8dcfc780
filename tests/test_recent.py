"""Live figures are those of the last ten seconds, whatever came before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivenet.recent import WINDOW_S, RecentRate, RecentStages

SECOND = 1_000_000_000


def ticked(rate: RecentRate, start: float, seconds: float, fps: float) -> float:
    """Events at a steady rate; when the last one was."""
    for n in range(round(seconds * fps)):
        rate.tick(round((start + n / fps) * SECOND))
    return start + seconds


@given(st.floats(2.0, 200.0), st.floats(1.0, 40.0), st.floats(0.0, 1.0))
def test_a_steady_rate_is_told_at_any_moment(fps: float, seconds: float, part: float) -> None:
    rate = RecentRate()
    ticked(rate, 5.0, seconds, fps)
    now = 5.0 + (round(seconds * fps) - 1 + part) / fps
    assert rate.fps(round(now * SECOND)) == pytest.approx(fps, rel=1e-6)


def test_a_rate_falls_once_the_next_event_is_overdue() -> None:
    rate = RecentRate()
    end = ticked(rate, 0.0, 4.0, 10.0)
    last = end - 0.1
    found = [rate.fps(round((last + late) * SECOND)) for late in (0.05, 0.1, 1.0, 4.0, 11.0)]
    assert found[:2] == [pytest.approx(10.0)] * 2
    assert found[2:] == [pytest.approx(40 / 4.9), pytest.approx(40 / 7.9), 0]


def test_an_outage_of_an_hour_is_over_when_it_is_over() -> None:
    rate = RecentRate()
    end = ticked(rate, 0.0, 60.0, 30.0)
    assert rate.fps(round((end + 3600) * SECOND)) == 0
    end = ticked(rate, end + 3600, 4.0, 30.0)
    assert rate.fps(round(end * SECOND)) == pytest.approx(30.0, rel=0.03)


def test_a_rate_that_changes_is_the_new_one_after_the_window() -> None:
    rate = RecentRate()
    end = ticked(rate, 0.0, 300.0, 30.0)
    end = ticked(rate, end, WINDOW_S + 0.5, 8.0)
    assert rate.fps(round(end * SECOND)) == pytest.approx(8.0, rel=0.05)


def test_too_few_events_have_no_rate() -> None:
    rate = RecentRate()
    assert rate.fps(SECOND) is None
    rate.tick(SECOND)
    assert rate.fps(2 * SECOND) is None


def test_medians_forget_and_stages_may_come_and_go() -> None:
    stages = RecentStages()
    for n in range(50):
        stages.add(n * SECOND // 10, {"infer": 5.0})
    for n in range(20):
        stages.add(20 * SECOND + n * SECOND // 10, {"infer": 9.0, "track": float(n)})
    assert stages.p50(22 * SECOND) == {"infer": 9.0, "track": 9.5}
    assert stages.p50(60 * SECOND) == {}
