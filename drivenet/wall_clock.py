"""Monotonic times as wall-clock times, also after the system's clock was set."""

from __future__ import annotations

import time
from collections.abc import Callable

from drivenet.latency import now_ns

#: A clock that was moved by less than this is left: that much is what a busy machine may need to read both.
JUMP_NS = 50_000_000
#: Both clocks are read again until they were read within so long of each other, at most so many times.
_CLOSE_NS, _TRIES = 1_000_000, 5


class WallClock:
    """The monotonic clock plus an offset.

    Times do not jump by themselves: the offset changes only when :meth:`check` finds that the system's clock was set by
    more than 50 ms, as NTP does on a machine without a clock of its own.

    Args:
        wall_ns: nanoseconds since 1970.
    """

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self._offset_ns = self._measured()
        #: How many times the system's clock was found set, and by how much the last time, in nanoseconds.
        self.jumps, self.last_jump_ns = 0, 0

    def at(self, monotonic_ns: int) -> int:
        """Nanoseconds since 1970 of a moment of the monotonic clock."""
        return monotonic_ns + self._offset_ns

    def now(self) -> int:
        """Nanoseconds since 1970."""
        return self.at(now_ns())

    def check(self) -> None:
        """Take over a wall clock that was set; from any thread."""
        offset = self._measured()
        jump = offset - self._offset_ns
        if abs(jump) > JUMP_NS:
            self._offset_ns, self.last_jump_ns = offset, jump
            self.jumps += 1

    def _measured(self) -> int:
        tries = [self._once()]
        while tries[-1][0] > _CLOSE_NS and len(tries) < _TRIES:
            tries.append(self._once())
        return min(tries)[1]

    def _once(self) -> tuple[int, int]:
        """How long it took to read both clocks, and their difference."""
        before = now_ns()
        wall = self._wall_ns()
        after = now_ns()
        return after - before, wall - (before + after) // 2


#: The one of this process: all outputs stamp by the same offset.
WALL = WallClock()
