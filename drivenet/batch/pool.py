"""A pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from drivenet.batch.crew import DeadError, Hand, through
from drivenet.batch.plan import Segment
from drivenet.batch.work import Job, do
from drivenet.engine import open_engine
from drivenet.errors import DrivenetError

#: A dead process whose pipe something else still holds is noticed after so many seconds.
_LOOK_S = 1.0


def in_process(segments: Sequence[Segment], opener: dict[str, Any], job: Job) -> Iterator[Segment]:
    """Do the segments one by one, and give each as it is done."""
    engine = open_engine(**opener)
    try:
        for segment in segments:
            do(segment, engine, job)
            yield segment
    finally:
        engine.close()


def in_pool(segments: Sequence[Segment], workers: int, opener: dict[str, Any], job: Job,
            started: Callable[[int], None] = lambda _: None) -> Iterator[Segment]:  # fmt: skip
    """Do the segments in several processes; see :func:`~drivenet.batch.crew.through`.

    Args:
        segments: the work.
        workers: how many processes.
        opener: the arguments of :func:`~drivenet.engine.open_engine`.
        job: what is done.
        started: called with the number of every process.
    """
    return through(segments, workers, _Processes(opener, job, started))


class _Process:
    """One process with its engine."""

    def __init__(self, opener: dict[str, Any], job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.pipe: Connection = ours
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, opener, job), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, segment: Segment) -> None:
        """Hand a segment over."""
        try:
            self.pipe.send(segment)
        except OSError:  # dead, which its end of the pipe tells as well
            return

    def answer(self) -> DrivenetError | None:
        """What it has sent; it is there, or the process is dead."""
        try:
            if not self.pipe.poll():
                return DeadError("a worker died")
            answer: DrivenetError | None = self.pipe.recv()
        except (EOFError, OSError):
            return DeadError("a worker died")
        return answer

    def end(self) -> None:
        """Stop it, whatever it is at."""
        self.pipe.close()
        self.process.kill()
        self.process.join()


class _Processes:
    """The crew."""

    def __init__(self, opener: dict[str, Any], job: Job, started: Callable[[int], None]) -> None:
        self._opener, self._job, self._started = opener, job, started

    def hire(self) -> _Process:
        """Start a process."""
        worker = _Process(self._opener, self._job)
        self._started(worker.process.pid or 0)
        return worker

    def answers(self, workers: Sequence[_Process]) -> list[tuple[_Process, DrivenetError | None]]:
        """Those whose pipe has something, or that are dead."""
        while True:
            dead = {worker for worker in workers if not worker.process.is_alive()}
            spoke = wait([worker.pipe for worker in workers], timeout=0 if dead else _LOOK_S)
            if dead or spoke:
                return [(w, w.answer()) for w in workers if w in dead or w.pipe in spoke]

    def close(self) -> None:
        """Processes share nothing."""


def _serve(pipe: Connection, opener: dict[str, Any], job: Job) -> None:
    """A process's life: it ends with its driver."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    hand = Hand(opener, job, os.curdir)
    with suppress(EOFError, ConnectionError):
        pipe.send(hand.open())
        while True:
            pipe.send(hand.do(pipe.recv()))


def _end_with(driver: int) -> None:
    wait([driver])
    os._exit(0)
