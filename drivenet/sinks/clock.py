"""When things happened: by the wall clock, and until a result reached one sink."""

from __future__ import annotations

import time
from dataclasses import replace

from drivenet.latency import now_ns
from drivenet.result import Result


class WallClock:
    """Monotonic times as wall-clock times, by one offset that is taken when the clock is made.

    Times therefore never jump within a run, whatever happens to the system's clock meanwhile.
    """

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - now_ns()

    def at(self, monotonic_ns: int) -> int:
        """Nanoseconds since 1970 of a moment of the monotonic clock."""
        return monotonic_ns + self._offset_ns

    def now(self) -> int:
        """Nanoseconds since 1970."""
        return self.at(now_ns())


def reached(result: Result, sink: str) -> Result:
    """The result as one sink gets it now: ``publish`` and ``end_to_end`` end here, not at the slowest of all sinks."""
    return replace(result, stamps=replace(result.stamps, published={sink: now_ns()}))
