"""When a node is started again: a table of what its parent hears."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from drivenet.backoff import Backoff
from drivenet.supervise.beat import HISTORY, Beat, Restarts, parse, restarts
from drivenet.supervise.policy import (
    FIRST_FRAME_S,
    LOOP_S,
    MOST,
    OUTPUTS_S,
    SILENT_S,
    STALLED_S,
    START_S,
    WITHIN_S,
    RestartLimit,
    Watch,
    describe,
    is_final,
    shell_code,
)

WELL = Beat(published=9, state="ok", engine="ok", outputs="ok")


def heard(*beats: tuple[float, Beat]) -> Watch:
    watch = Watch(0.0)
    for at, beat in beats:
        watch.hear(beat, at)
    return watch


@pytest.mark.parametrize("state", ["lost", "suspect", "degraded", "starting", "failed"])
def test_a_source_that_is_away_is_no_reason(state: str) -> None:
    assert heard((1.0, replace(WELL, state=state, reason="no frame"))).verdict(1.1) == ""


def test_a_child_that_falls_silent_hangs() -> None:
    watch = heard((10.0, WELL))
    assert watch.verdict(10.0 + SILENT_S - 0.1) == ""
    assert watch.verdict(10.0 + SILENT_S + 0.1).startswith("gave no sign of life")


def test_a_machine_that_serves_nobody_is_no_reason() -> None:
    watch = heard((10.0, replace(WELL, engine="stalled")))
    watch.excuse(SILENT_S)
    assert watch.verdict(10.1 + SILENT_S) == ""
    assert watch.verdict(10.1 + SILENT_S + STALLED_S) == "its engine hung"
    assert watch.verdict(10.1 + 2 * SILENT_S).startswith("gave no sign of life")


def test_a_child_that_loads_may_take_its_time_and_not_for_ever() -> None:
    assert Watch(0.0).verdict(START_S - 1) == ""
    assert Watch(0.0).verdict(START_S + 1).startswith("did not start")


def test_a_loop_that_stands_still_is_a_reason_but_not_at_the_end() -> None:
    still = replace(WELL, loop_s=LOOP_S + 1)
    assert "its loop stood still" in heard((1.0, still)).verdict(1.0)
    assert heard((1.0, replace(still, phase="ending"))).verdict(1.0) == ""


def test_an_engine_that_hangs_is_a_reason_and_sooner_after_it_has_worked() -> None:
    hung = replace(WELL, engine="stalled")
    assert heard((1.0, hung)).verdict(1.0) == ""
    assert heard((1.0, hung), (2.0, hung)).verdict(1.1 + STALLED_S) == "its engine hung"
    assert heard((1.0, hung), (1.1, WELL)).verdict(2.0) == ""
    first = replace(hung, published=0)
    assert heard((1.0, first), (3.0, first)).verdict(3.0) == ""
    assert heard((1.0, first), (FIRST_FRAME_S, first)).verdict(FIRST_FRAME_S) == ""
    assert heard((1.0, first), (1.0 + FIRST_FRAME_S, first)).verdict(1.0 + FIRST_FRAME_S) == "its engine hung"


def test_outputs_may_wait_for_a_disk_and_not_for_ever() -> None:
    hung = replace(WELL, outputs="stalled")
    assert heard((1.0, hung), (OUTPUTS_S, hung)).verdict(OUTPUTS_S) == ""
    assert heard((1.0, hung), (OUTPUTS_S + 1, hung)).verdict(OUTPUTS_S + 1) == "its outputs hung"


def test_what_ends_for_good_and_what_may_go_better() -> None:
    assert [code for code in range(-20, 131) if not is_final(code)] == [*range(-20, 0), 1, 4]
    assert [shell_code(code) for code in (-9, 0, 4)] == [137, 0, 4]
    assert describe(-200) == "was killed by signal 200"


def test_at_most_so_many_restarts_in_a_minute() -> None:
    limit = RestartLimit()
    assert [limit.allows(n) for n in range(MOST + 1)] == [True] * MOST + [False]
    assert limit.allows(WITHIN_S)
    assert not limit.allows(WITHIN_S)
    every_13_s = RestartLimit()
    assert all(every_13_s.allows(13.0 * n) for n in range(200))


def test_a_beat_goes_through_a_pipe_and_noise_is_none() -> None:
    beat = replace(WELL, reason="x" * 9000)
    assert parse(beat.to_line()) == replace(beat, reason="x" * 500)
    assert [parse(noise) for noise in (b"", b"{", b"[1]", b'{"phase": 1, "more": 2}', b"\xff")] == [None] * 5


def test_a_child_knows_of_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert restarts() == Restarts()
    monkeypatch.setenv(HISTORY, json.dumps({"count": 2, "reason": "its engine hung", "at_s": 5.0}))
    assert restarts() == Restarts(2, "its engine hung", 5.0)
    monkeypatch.setenv(HISTORY, "noise")
    assert restarts() == Restarts()


def test_waits_double_up_to_the_longest_and_begin_again() -> None:
    waits = Backoff(0.5, 30.0)
    found = [waits.next_s() for _ in range(10)]
    for wait, expected in zip(found, (0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30), strict=True):
        assert abs(wait / expected - 1) <= 0.1
    waits.reset()
    assert waits.next_s() < 1
    assert len({Backoff().next_s() for _ in range(20)}) > 1, "two nodes do not come back at the same moment"
