"""The books balance, also when they are closed over a thread that never ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivenet.latency import END_TO_END, STAGES, Timeline, now_ns
from drivenet.pipeline.accounting import FrameAccounting

MS = 1_000_000


def timeline(captured: int) -> Timeline:
    """A frame that spent a millisecond on each stage."""
    line = Timeline(captured)
    for name in STAGES:
        line = line.then(name, line.end, line.end + MS)
    return line


@given(st.integers(0, 20), st.data())
def test_settling_books_what_is_still_held(captured: int, data: st.DataObject) -> None:
    published = data.draw(st.integers(0, captured))
    dropped = data.draw(st.integers(0, captured - published))
    accounting = FrameAccounting({})
    for n in range(captured):
        assert accounting.captured(n) == n + 1
    for n in range(published):
        accounting.published(timeline(n))
    accounting.dropped("superseded", dropped)
    accounting.settle()
    accounting.dropped("stopped")
    accounting.captured(captured)
    totals = accounting.totals()
    assert (totals.captured, totals.published) == (captured, published)
    assert totals.captured == totals.published + sum(totals.dropped.values())
    assert totals.dropped.get("superseded", 0) == dropped


def test_totals_are_a_copy_and_empty_reasons_stay_out() -> None:
    accounting = FrameAccounting({"backend": "null"})
    accounting.dropped("stopped", 0)
    before = accounting.totals()
    assert before.dropped == {}
    accounting.captured(0)
    accounting.dropped("failed")
    assert (before.captured, before.dropped) == (0, {})
    assert accounting.totals().dropped == {"failed": 1}
    assert accounting.totals().engine == {"backend": "null"}


def test_rates_belong_to_their_own_events() -> None:
    accounting = FrameAccounting({})
    for n in range(3):
        accounting.captured(n * 100 * MS)
    for n in range(2):
        accounting.published(timeline(n * 500 * MS))
    fps = accounting.totals().fps
    assert (fps["source"], fps["published"], fps["processed"]) == (10.0, 2.0, None)


def test_no_more_is_published_than_processed() -> None:
    """Also where the outputs catch up: three frames that are processed one by one and published at once."""
    accounting = FrameAccounting({})
    for _ in range(3):
        accounting.processed()
    at = now_ns()
    for n in range(3):
        accounting.published(timeline(at + n))
    fps = accounting.totals().fps
    assert fps["published"] == fps["processed"] is not None


def test_the_picture_shows_medians_once_there_are_any() -> None:
    accounting = FrameAccounting({})
    done = timeline(0)
    assert accounting.hud(done.captured, "cam", "null fp32").p50_ms == {}
    accounting.published(done)
    accounting.dropped("superseded", 2)
    hud = accounting.hud(done.captured, "cam", "null fp32")
    assert set(hud.p50_ms) == {END_TO_END, *STAGES}
    assert abs(hud.p50_ms[END_TO_END] - 6) < 0.1
    assert (hud.dropped, hud.source, hud.engine) == ({"superseded": 2}, "cam", "null fp32")
    assert hud.age_ms > 0
