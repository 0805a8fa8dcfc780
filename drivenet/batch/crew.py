"""One way through a batch's segments, above the pool of processes and above a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from drivenet.batch.plan import Segment
from drivenet.batch.work import Job, do
from drivenet.engine import open_engine
from drivenet.errors import DrivenetError, EngineError

#: A segment that kills so many workers ends the run: it would kill the next as well.
MOST_DEATHS = 5


class Hand:
    """What works in another process: it holds one engine. Errors are given back, since both ways carry values.

    Args:
        opener: the arguments of :func:`~drivenet.engine.open_engine`.
        job: what is done with each segment.
        folder: that relative paths are seen from.
    """

    def __init__(self, opener: dict[str, Any], job: Job, folder: str) -> None:
        os.chdir(folder)
        self._opener, self._job = opener, job

    def open(self) -> DrivenetError | None:
        """Open the engine."""
        try:
            self._engine = open_engine(**self._opener)
        except DrivenetError as error:
            return error
        return None

    def do(self, segment: Segment) -> DrivenetError | None:
        """Do a segment."""
        try:
            do(segment, self._engine, self._job)
        except DrivenetError as error:
            return error
        return None


class Worker(Protocol):
    """The driver's side of a :class:`Hand`, which opens its engine from the beginning on."""

    def give(self, segment: Segment) -> None:
        """Hand a segment over. A worker that is dead is noticed when its answer is waited for."""

    def end(self) -> None:
        """Stop it, whatever it is at."""


W = TypeVar("W", bound=Worker)


class Crew(Protocol[W]):
    """Workers of one kind."""

    def hire(self) -> W:
        """Start a worker."""

    def answers(self, workers: Sequence[W]) -> list[tuple[W, DrivenetError | None]]:
        """Wait until one at least has opened its engine, done its segment, failed or died.

        Returns:
            who has, with what went wrong; :class:`DeadError` for those that died.
        """

    def close(self) -> None:
        """Let go of what all workers share."""


class DeadError(DrivenetError):
    """A worker died."""


def through(segments: Sequence[Segment], workers: int, crew: Crew[W]) -> Iterator[Segment]:
    """Do segments, and give each as it is done. A worker that dies is replaced, and its segment is done again.

    Args:
        segments: the work.
        workers: how many at a time.
        crew: who does it; closed at the end.

    Raises:
        DrivenetError: what a worker raised.
        EngineError: if a segment, or opening the engine time after time, killed :data:`MOST_DEATHS` workers.
    """
    shift: _Shift[W] = _Shift(segments)
    try:
        while shift.left:
            while len(shift.crew) < min(workers, shift.left):
                shift.crew[crew.hire()] = OPENING
            shift.hand_out()
            for worker, error in crew.answers([w for w, what in shift.crew.items() if what != IDLE]):
                if (done := shift.settle(worker, error)) is not None:
                    yield done
    finally:
        for worker in shift.crew:
            worker.end()
        crew.close()


#: What a worker without a segment is at.
OPENING, IDLE = "opening", "idle"


class _Shift(Generic[W]):
    """Who has what in hand."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.left = len(segments)
        self.crew: dict[W, Segment | str] = {}
        self._waiting, self._deaths = list(segments), dict[Segment | str, int]()

    def hand_out(self) -> None:
        """Give every idle worker a segment, as long as there are some."""
        for worker, what in self.crew.items():
            if what == IDLE and self._waiting:
                segment = self._waiting.pop(0)
                self.crew[worker] = segment
                worker.give(segment)

    def settle(self, worker: W, error: DrivenetError | None) -> Segment | None:
        """Note an answer; the segment that was done, if one was."""
        what = self.crew[worker]
        if isinstance(error, DeadError):
            self._bury(worker, what)
            return None
        if error is not None:
            raise error
        self.crew[worker] = IDLE
        self._deaths.pop(what, None)
        if isinstance(what, str):
            return None
        self.left -= 1
        return what

    def _bury(self, worker: W, what: Segment | str) -> None:
        del self.crew[worker]
        worker.end()
        self._deaths[what] = self._deaths.get(what, 0) + 1
        if self._deaths[what] >= MOST_DEATHS:
            named = "opening the engine" if isinstance(what, str) else f"segment {what.number} of {what.file}"
            raise EngineError(f"{named} killed {MOST_DEATHS} workers",
                              "a file and an engine that end no process", "try them with drivenet run")  # fmt: skip
        if isinstance(what, Segment):
            self._waiting.append(what)  # behind the others, which it does not keep from being done
