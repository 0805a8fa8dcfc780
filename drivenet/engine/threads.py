"""The system's threads, each of which ends a moment after Python's; from Python 3.13 on they end together."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Set

_PATIENCE_S, _STEP_S = 1.0, 0.001


def let_end(numbers: Set[int]) -> None:
    """Wait for threads that Python has joined already, by their native numbers, to be gone from the system as well.

    In between, libraries of C++ free what they keep for a thread, which must still rest on something. Without ``/proc``
    nothing is waited for.
    """
    living = {thread.native_id for thread in threading.enumerate()}
    until = time.monotonic() + _PATIENCE_S
    for number in numbers - living:
        while os.path.exists(f"/proc/self/task/{number}") and time.monotonic() < until:
            time.sleep(_STEP_S)
