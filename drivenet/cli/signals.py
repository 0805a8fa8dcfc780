"""Signals end a run in good order, and soon even where a sink's reader takes nothing any more."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from drivenet.pipeline import Pipeline

#: Seconds that a sink may go on after the signal, and that each call to one takes after that: all end within 3 s.
_ALARMS = 1.5, 0.5


@contextmanager
def ended_by_signals(pipeline: Pipeline) -> Iterator[None]:
    """SIGINT and SIGTERM stop the pipeline; a second one ends the process as usual.

    Python repeats a write that a signal interrupted, and one to a full pipe would never return: an alarm raises
    TimeoutError in a sink that is still at work a while after the signal. Main thread only.
    """
    with ExitStack() as undo:

        def stop(number: int, _: FrameType | None) -> None:
            signal.signal(number, old[signal.Signals(number)])
            pipeline.stop()
            undo.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, give_up))
            undo.callback(signal.setitimer, signal.ITIMER_REAL, *signal.setitimer(signal.ITIMER_REAL, *_ALARMS))

        def give_up(_: int, __: FrameType | None) -> None:
            if pipeline.serving is not None:
                abandon_stuck_stdout()
                raise TimeoutError(errno.ETIMEDOUT, f"it did not end within {_ALARMS[0]} s of the signal to stop")

        old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number, handler in old.items():
            undo.callback(signal.signal, number, handler)
            signal.signal(number, stop)
        yield


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
