"""Where a run is between its beginning and its end."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from drivenet.latency import now_ns


class RunState(Enum):
    """The states of a run.

    ::

        NEW --run()--> RUNNING --the frames end--> DRAINING --the sinks are done--> CLOSED
                          |                            |                              ^
                          '---stop() or an error-------'-----> STOPPING --------------'

    RUNNING captures, infers and publishes. DRAINING publishes what was captured, and waits for sinks that lose
    nothing. STOPPING takes back what waits and closes everything within 3 s. A closed run is never run again.
    """

    NEW = "new"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPING = "stopping"
    CLOSED = "closed"


class RunControl:
    """Which state a run is in, and the one way to end it early.

    Args:
        halted: whether the sinks take nothing more, because one failed or wants the run to end.
    """

    def __init__(self, halted: Callable[[], bool]) -> None:
        self._halted = halted
        #: Set by the thread of :meth:`~drivenet.pipeline.Pipeline.run` alone.
        self.phase = RunState.NEW
        #: When the run was stopped, 0 while it was not. A plain number, written whole: a signal handler that
        #: interrupts its writer must not wait for a lock.
        self.stopped_ns = 0

    def stop(self) -> None:
        """End the run soon; from any thread and from a signal handler."""
        self.stopped_ns = self.stopped_ns or now_ns()

    @property
    def state(self) -> RunState:
        """The state now."""
        early = self.phase in (RunState.RUNNING, RunState.DRAINING) and (self.stopped_ns or self._halted())
        return RunState.STOPPING if early else self.phase

    @property
    def ending(self) -> bool:
        """Whether what is at work is to be left as it is."""
        return bool(self.stopped_ns) or self._halted() or self.phase in (RunState.STOPPING, RunState.CLOSED)
