"""Outputs wait for inference: their threads have a lower priority than those of the engine."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

#: Where processors are short, a thread of the engine gets about three times the time of one that encodes or writes.
_NICE = 5


def step_back() -> None:
    """Lower the priority of the calling thread, and of threads and processes that it starts, where the system has
    priorities for threads (Linux).
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # a sandbox may forbid it: then all are equal
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICE))
