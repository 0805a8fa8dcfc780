"""Times by the wall clock follow a clock that is set, and tremble with nothing else."""

from __future__ import annotations

import time

import pytest

from drivenet.latency import now_ns
from drivenet.wall_clock import JUMP_NS, WallClock

HOUR = 3600 * 10**9


class Clock:
    """The system's clock, ahead by what a test says."""

    ahead, slow_s = 0, 0.0

    def __call__(self) -> int:
        if self.slow_s:
            time.sleep(self.slow_s)
        return now_ns() + HOUR + self.ahead


@pytest.mark.parametrize(("ahead", "jumps"), [(HOUR, 1), (-HOUR, 1), (2 * JUMP_NS, 1), (JUMP_NS // 2, 0), (0, 0)])
def test_only_a_clock_that_was_set_moves_times(ahead: int, jumps: int) -> None:
    system = Clock()
    clock = WallClock(system)
    before = clock.at(0)
    system.ahead = ahead
    assert clock.at(0) == before, "nothing changes by itself"
    clock.check()
    assert clock.jumps == jumps
    assert abs(clock.at(0) - before - jumps * ahead) < JUMP_NS
    clock.check()
    assert clock.jumps == jumps, "once"


def test_a_busy_machine_is_no_jump() -> None:
    """Both clocks are read a while apart; half of that is the most that it can be wrong."""
    system = Clock()
    clock = WallClock(system)
    system.slow_s = 0.02
    clock.check()
    assert clock.jumps == 0
