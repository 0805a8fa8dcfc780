"""How long to wait before the next try: doubling, bounded, and never the same for two nodes."""

from __future__ import annotations

import random

#: Seconds before the second try, and what the wait doubles up to.
FIRST_S, LONGEST_S = 0.5, 30.0
#: A wait is longer or shorter by up to this fraction, so that many nodes do not come back at once.
_JITTER = 0.1


class Backoff:
    """Waits of one thing that is tried again and again.

    Args:
        first_s: the first wait.
        longest_s: what waits double up to.

    >>> waits = Backoff(0.5, 2.0)
    >>> [0.9 * wait <= waits.next_s() <= 1.1 * wait for wait in (0.5, 1.0, 2.0, 2.0)]
    [True, True, True, True]
    """

    def __init__(self, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._wait_s = first_s

    def next_s(self) -> float:
        """Seconds to wait now; the next wait is twice as long."""
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, self._longest_s)
        return wait_s * random.uniform(1 - _JITTER, 1 + _JITTER)

    def reset(self) -> None:
        """It worked: begin with the first wait again."""
        self._wait_s = self._first_s
