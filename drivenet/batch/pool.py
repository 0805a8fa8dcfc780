"""A pool of processes with an engine each. A worker that dies is replaced, and its segment is done again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from drivenet.batch.plan import Segment
from drivenet.batch.work import Job, do
from drivenet.engine import open_engine
from drivenet.errors import DrivenetError, EngineError

#: A segment that kills so many workers one after the other ends the run: it would kill the next as well.
MOST_DEATHS = 5


def in_process(segments: Sequence[Segment], opener: dict[str, Any], job: Job) -> Iterator[Segment]:
    """Do the segments one by one, and give each as it is done."""
    engine = open_engine(**opener)
    try:
        for segment in segments:
            do(segment, engine, job)
            yield segment
    finally:
        engine.close()


class Worker:
    """One process with its engine."""

    def __init__(self, opener: dict[str, Any], job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.pipe: Connection = ours
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, opener, job), daemon=True)
        self.process.start()
        theirs.close()
        self.segment: Segment | None = None

    def give(self, segment: Segment) -> bool:
        """Hand over a segment; false if the worker is dead."""
        self.segment = segment
        try:
            self.pipe.send(segment)
        except OSError:
            return False
        return True

    def end(self) -> None:
        """Stop it, whatever it is at."""
        self.pipe.close()
        self.process.kill()
        self.process.join()


def in_pool(segments: Sequence[Segment], workers: int, opener: dict[str, Any], job: Job,
            started: Callable[[int], None] = lambda _: None) -> Iterator[Segment]:  # fmt: skip
    """Do the segments in several processes, and give each as it is done.

    Args:
        segments: the work.
        workers: how many processes.
        opener: the arguments of :func:`~drivenet.engine.open_engine`.
        job: what is done.
        started: called with the number of every process.

    Raises:
        DrivenetError: what a worker raised.
        EngineError: for a segment that killed :data:`MOST_DEATHS` workers.
    """
    waiting, deaths = list(segments), dict[str, int]()
    crew: list[Worker] = []
    try:
        while waiting or any(worker.segment for worker in crew):
            while len(crew) < min(workers, len(waiting) + sum(w.segment is not None for w in crew)):
                crew.append(Worker(opener, job))
                started(crew[-1].process.pid or 0)
            for worker in [w for w in crew if w.segment is None and waiting]:
                if not waiting or not worker.give(waiting.pop(0)):
                    _bury(worker, crew, waiting, deaths)
            for ready in wait([w.pipe for w in crew if w.segment]):
                worker = next(w for w in crew if w.pipe is ready)
                done = _answer(worker)
                if done is None:
                    _bury(worker, crew, waiting, deaths)
                else:
                    worker.segment = None
                    yield done
    finally:
        for worker in crew:
            worker.end()


def _answer(worker: Worker) -> Segment | None:
    """The segment that was done; None if the worker died; raises what it raised."""
    try:
        answer = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    if isinstance(answer, Exception):
        raise answer
    return worker.segment


def _bury(worker: Worker, crew: list[Worker], waiting: list[Segment], deaths: dict[str, int]) -> None:
    """Put the segment of a dead worker back, first in line."""
    crew.remove(worker)
    worker.end()
    segment = worker.segment
    if segment is None:
        return
    deaths[segment.folder] = deaths.get(segment.folder, 0) + 1
    if deaths[segment.folder] >= MOST_DEATHS:
        raise EngineError(f"segment {segment.number} of {segment.file} killed {MOST_DEATHS} workers in a row",
                          "a file and an engine that end no process", "try them with drivenet run")  # fmt: skip
    waiting.insert(0, segment)


def _serve(pipe: Connection, opener: dict[str, Any], job: Job) -> None:
    """A worker's life: it ends with its driver, whose end of the pipe closes then."""
    try:
        engine = open_engine(**opener)
    except DrivenetError as error:
        pipe.recv()
        pipe.send(_portable(error))
        return
    while True:
        try:
            segment = pipe.recv()
        except EOFError:
            os._exit(0)
        try:
            do(segment, engine, job)
            answer: object = None
        except DrivenetError as error:
            answer = _portable(error)
        try:
            pipe.send(answer)
        except OSError:  # the driver is gone
            os._exit(0)


def _portable(error: DrivenetError) -> DrivenetError:
    """The same error, made of what a pipe can carry."""
    return _Carried(type(error), error.received, error.expected, error.cure)  # type: ignore[return-value]


class _Carried(Exception):
    """An error on its way: it becomes itself again where it is unpickled."""

    def __init__(self, kind: type[DrivenetError], *parts: str) -> None:
        super().__init__(*parts)
        self.kind, self.parts = kind, parts

    def __reduce__(self) -> tuple[Any, ...]:
        return self.kind, self.parts
