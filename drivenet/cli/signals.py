"""Signals end a run in good order, and soon even where a sink's reader takes nothing any more."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from drivenet.cli.interrupt import was_lost
from drivenet.node import Node
from drivenet.pipeline import Pipeline

#: Seconds that a sink may go on after the signal, and that each call to one takes after that: all end within 3 s.
_ALARMS = 1.5, 0.5


@contextmanager
def ended_by_signals(pipeline: Pipeline | Node) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP stop the pipeline; a second SIGINT or SIGTERM ends the process as usual.

    A terminal that is closed may send SIGHUP twice, so that a second one does no more than the first; where it is
    ignored (nohup) it stays so.

    The pipeline leaves behind a sink whose own thread does not return. One that this thread serves would hold up
    everything: Python repeats a write that a signal interrupted, so an alarm raises TimeoutError in a sink that is
    still at work a while after the signal. A SIGINT that was lost while all was opened stops the pipeline at once. Main
    thread only.
    """
    with ExitStack() as undo:

        def begin() -> None:
            pipeline.stop()
            signal.setitimer(signal.ITIMER_REAL, *_ALARMS)

        def stop(number: int, _: FrameType | None) -> None:
            if number != signal.SIGHUP:
                signal.signal(number, old[signal.Signals(number)])
            begin()

        def give_up(_: int, __: FrameType | None) -> None:
            if pipeline.serving is not None:
                raise TimeoutError(errno.ETIMEDOUT, f"it did not end within {_ALARMS[0]} s of the signal to stop")

        undo.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, give_up))
        undo.callback(signal.setitimer, signal.ITIMER_REAL, *signal.getitimer(signal.ITIMER_REAL))
        old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        if old[signal.SIGHUP] == signal.SIG_IGN:
            del old[signal.SIGHUP]
        undo.enter_context(_told_at_once(old, begin))
        for number, handler in old.items():
            undo.callback(signal.signal, number, handler)
            signal.signal(number, stop)
        if was_lost():
            begin()
        yield


@contextmanager
def _told_at_once(numbers: Collection[int], act: Callable[[], None]) -> Iterator[None]:
    """Calls ``act`` in a thread of its own as soon as one of the signals comes.

    A handler waits until this thread is between two steps of Python; a signal that comes right before a system call
    that never returns is not handled at all, until something else interrupts the call.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def listen() -> None:
        while come := ours.recv(64):
            if any(number in numbers for number in come):
                act()

    thread = threading.Thread(target=listen, name="signals", daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        theirs.close()
        thread.join()
        ours.close()
