"""Signals end a run in good order, and soon even where a sink's reader takes nothing any more."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from drivenet.pipeline import Pipeline

#: How long a sink may go on after the signal, and how long each call to one after that. All must end within 3 s.
STUCK_AFTER_S, NEXT_S = 1.5, 0.5


@contextmanager
def ended_by_signals(pipeline: Pipeline) -> Iterator[None]:
    """SIGINT and SIGTERM stop the pipeline; a second one ends the process as usual.

    Python repeats a write that a signal interrupted, and one to a full pipe would never return: an alarm raises
    TimeoutError in a sink that is still at work a while after the signal. Main thread only.
    """

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, old[signal.Signals(number)])
        pipeline.stop()
        signal.setitimer(signal.ITIMER_REAL, STUCK_AFTER_S, NEXT_S)

    def give_up(_: int, __: FrameType | None) -> None:
        if pipeline.serving is not None:
            abandon_stuck_stdout()
            raise TimeoutError(errno.ETIMEDOUT, f"it did not end within {STUCK_AFTER_S} s of the signal to stop")

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGALRM: give_up}
    old = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in old.items():
            signal.signal(number, handler)


def abandon_stuck_stdout() -> None:
    """Send what waits for a full pipe nowhere: the interpreter would write it at its end, and wait again."""
    try:
        stdout = sys.stdout.fileno()
        writable = select.select([], [stdout], [], 0)[1]
    except (OSError, ValueError):  # no real file
        return
    if not writable:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stdout)
        os.close(null)
