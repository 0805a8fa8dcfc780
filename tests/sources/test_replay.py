"""Open-loop replay: due times are exact, whoever is late."""

from __future__ import annotations

import threading

import pytest
from source_scripts import Scripted

from drivenet.errors import UsageError
from drivenet.latency import now_ns
from drivenet.sources.replay import Replay


def test_capture_times_are_due_times() -> None:
    source = Replay(Scripted(20, live=False), 300)
    assert (source.fps, source.live, source.size) == (300, False, (2, 2))
    due = []
    for frame in source:
        assert now_ns() >= frame.captured_ns
        due.append(frame.captured_ns)
    assert [t - due[0] for t in due] == [round(i * 1e9 / 300) for i in range(20)]


def test_a_late_frame_keeps_its_due_time() -> None:
    """At a million frames a second all are late."""
    due = [frame.captured_ns for frame in Replay(Scripted(50, live=False), 1e6)]
    assert [t - due[0] for t in due] == [i * 1000 for i in range(50)]


def test_closing_ends_the_wait() -> None:
    inner = Scripted(2, live=False)
    source = Replay(inner, 0.001)
    frames = iter(source)
    next(frames)
    reader = threading.Thread(target=lambda: list(frames))
    reader.start()
    source.close()
    reader.join(60)
    assert not reader.is_alive()
    assert inner.closed == 1


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_rates_that_make_no_sense(rate: float) -> None:
    inner = Scripted(1, live=False)
    with pytest.raises(UsageError, match="above 0"):
        Replay(inner, rate)
    assert inner.closed == 1


def test_live_sources_have_their_own_rate() -> None:
    inner = Scripted(1)
    with pytest.raises(UsageError, match="scripted, which is live"):
        Replay(inner, 30)
    assert inner.closed == 1
