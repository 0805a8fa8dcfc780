"""Signals end a run in good order, and soon even where a sink's reader takes nothing any more."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from drivenet.pipeline import Pipeline

#: Seconds that a sink may go on after the signal, and that each call to one takes after that: all end within 3 s.
_ALARMS = 1.5, 0.5


@contextmanager
def ended_by_signals(pipeline: Pipeline) -> Iterator[None]:
    """SIGINT and SIGTERM stop the pipeline; a second one ends the process as usual.

    The pipeline leaves behind a sink whose own thread does not return. One that this thread serves would hold up
    everything: Python repeats a write that a signal interrupted, so an alarm raises TimeoutError in a sink that is
    still at work a while after the signal. Main thread only.
    """
    with ExitStack() as undo:

        def stop(number: int, _: FrameType | None) -> None:
            signal.signal(number, old[signal.Signals(number)])
            pipeline.stop()
            undo.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, give_up))
            undo.callback(signal.setitimer, signal.ITIMER_REAL, *signal.setitimer(signal.ITIMER_REAL, *_ALARMS))

        def give_up(_: int, __: FrameType | None) -> None:
            if pipeline.serving is not None:
                raise TimeoutError(errno.ETIMEDOUT, f"it did not end within {_ALARMS[0]} s of the signal to stop")

        old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number, handler in old.items():
            undo.callback(signal.signal, number, handler)
            signal.signal(number, stop)
        yield
