"""When a node is started again, and when not any more."""

from __future__ import annotations

import signal
from collections import deque
from dataclasses import dataclass, field

from drivenet.supervise.beat import Beat

#: A child that says nothing for this long hangs, likewise one whose loop has not come round.
SILENT_S, LOOP_S = 8.0, 8.0
#: A child that has never said anything may be loading or building an engine.
START_S = 600.0
#: An engine that is stalled is given so much longer before the process is ended: on its first frame, and later.
FIRST_FRAME_S, STALLED_S = 30.0, 0.2
#: Outputs that take nothing may wait for a slow disk.
OUTPUTS_S = 30.0
#: At most so many restarts in so many seconds.
MOST, WITHIN_S = 5, 60.0
#: Exit codes after which the same command may go better: an error nobody thought of, an engine that failed.
_AGAIN = (1, 4)


def is_final(code: int) -> bool:
    """Whether an exit code (negative: a signal) ends it for good: usage, source, outputs, or all went well."""
    return code >= 0 and code not in _AGAIN


def describe(code: int) -> str:
    """An exit code in words.

    >>> describe(-9), describe(4)
    ('was killed by SIGKILL', 'ended with exit code 4')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def shell_code(code: int) -> int:
    """An exit code as a shell has it."""
    return code if code >= 0 else 128 - code


@dataclass
class Watch:
    """One child, from its start on. All moments are seconds of the monotonic clock.

    Args:
        began_s: when it was started.
    """

    began_s: float
    heard_s: float = 0.0
    beat: Beat | None = None
    _bad: dict[str, float] = field(default_factory=dict)

    def hear(self, beat: Beat, now_s: float) -> None:
        """The child said how it is."""
        self.beat, self.heard_s = beat, now_s
        for part, state in (("engine", beat.engine), ("outputs", beat.outputs)):
            if state == "stalled":
                self._bad.setdefault(part, now_s)
            else:
                self._bad.pop(part, None)

    def excuse(self, late_s: float) -> None:
        """The parent itself was not served for so long: the machine is at fault, and not the child."""
        self.heard_s += late_s
        self._bad = {part: since_s + late_s for part, since_s in self._bad.items()}

    def verdict(self, now_s: float) -> str:
        """Why the child has to be ended now; empty while it has not. A source that is away is no reason."""
        beat = self.beat
        if beat is None:
            return f"did not start within {START_S:.0f} s" if now_s - self.began_s > START_S else ""
        if now_s - self.heard_s > SILENT_S:
            return f"gave no sign of life for {SILENT_S:.0f} s"
        if beat.phase != "running":
            return ""
        if beat.loop_s > LOOP_S:
            return f"its loop stood still for {beat.loop_s:.1f} s"
        if self._is_bad("engine", now_s, STALLED_S if beat.published else FIRST_FRAME_S):
            return "its engine hung"
        return "its outputs hung" if self._is_bad("outputs", now_s, OUTPUTS_S) else ""

    @property
    def is_well(self) -> bool:
        """Whether it has begun to publish."""
        return self.beat is not None and self.beat.published > 0

    def _is_bad(self, part: str, now_s: float, patience_s: float) -> bool:
        return part in self._bad and now_s - self._bad[part] >= patience_s


class RestartLimit:
    """At most :data:`MOST` restarts in :data:`WITHIN_S` seconds."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque()

    def allows(self, now_s: float) -> bool:
        """Whether there may be one more now; it counts if so."""
        while self._moments and now_s - self._moments[0] >= WITHIN_S:
            self._moments.popleft()
        if len(self._moments) >= MOST:
            return False
        self._moments.append(now_s)
        return True
