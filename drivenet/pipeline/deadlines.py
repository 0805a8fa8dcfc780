"""How long the end of a run waits for its sinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from drivenet.latency import now_ns

Phase = Literal["work", "record", "close"]

#: Seconds from a stop to giving up on sinks: in what they are at, in recording the last frames, in closing.
#: All ends within 3 s, and a playable recording comes first.
AFTER_STOP_S: dict[Phase, float] = {"work": 1.5, "record": 1.9, "close": 2.4}
#: Likewise from the end of the frames, where nobody waits for the run to end.
AFTER_END_S: dict[Phase, float] = {"work": 10.0, "record": 12.0, "close": 15.0}
#: What each phase has at least.
_LEAST_S = 0.2


class ShutdownDeadlines:
    """Made when the run ends.

    Args:
        stopped_ns: when the run was stopped, 0 while it was not; it still may be.
        unbounded: whether there is a reason to wait as long as it takes, unless the run is stopped.
    """

    def __init__(self, stopped_ns: Callable[[], int], unbounded: Callable[[], bool]) -> None:
        self._stopped_ns, self._unbounded = stopped_ns, unbounded
        self._ended_ns = now_ns()

    def over(self, phase: Phase) -> Callable[[], bool]:
        """What tells whether a phase that begins now has lasted too long."""
        begun_ns = now_ns()

        def is_over() -> bool:
            now = now_ns()
            if (now - begun_ns) / 1e9 < _LEAST_S:
                return False
            if stopped_ns := self._stopped_ns():
                return (now - stopped_ns) / 1e9 > AFTER_STOP_S[phase]
            return (now - self._ended_ns) / 1e9 > AFTER_END_S[phase] and not self._unbounded()

        return is_over
