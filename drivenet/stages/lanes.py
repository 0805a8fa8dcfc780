"""Several frames at the engine at a time, for runs where frames a second count and not the age of one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from itertools import takewhile
from queue import SimpleQueue
from typing import NamedTuple

from drivenet.frame import Frame
from drivenet.record import Record
from drivenet.stages import Stage, run_stages
from drivenet.stages.continuity import continues

#: How often who waits for a frame looks for another one to begin meanwhile, where there is a lane free.
_LOOK_S = 0.005


class _Begun(NamedTuple):
    record: Record
    #: The record after the stages that run in a thread of their own.
    passed: Future[Record]


class Lanes:
    """Begins as many frames as there are lanes, and ends them in the order in which they were begun.

    Where there are several, the first stages, as long as they are :attr:`~drivenet.stages.Stage.parallel`, run in
    threads of their own, one a lane; all others run in the thread that calls, and so does everything with one lane.

    Args:
        stages: what every frame passes, in order.
        count: how many frames the engine may be asked for at a time.
        take: gives the record of the next frame, or None while there is none.
        working: called with the name of each stage before it, and with that of one that is waited for.
    """

    def __init__(
        self, stages: Sequence[Stage], count: int, take: Callable[[], Record | None],
        working: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._stages, self._take, self._working = list(stages), take, working
        several = takewhile(lambda stage: stage.parallel, stages) if count > 1 else ()
        self._early = list(several)
        self._late = self._stages[len(self._early) :]
        self._count = count if self._early else 1
        self._begun: deque[_Begun] = deque()
        self._before: Frame | None = None
        self._todo: SimpleQueue[_Begun | None] = SimpleQueue()
        #: Those of the first stages; they end after :meth:`end`, with what they are at.
        self.threads: list[threading.Thread] = []

    @property
    def busy(self) -> bool:
        """Whether a frame was begun and not taken back yet."""
        return bool(self._begun)

    def begin(self) -> None:
        """Begin as many frames as there are lanes free and frames."""
        self._begin(self._count)

    def finish(self) -> Record:
        """The frame that was begun first, after all stages; they forget what was before it, where it does not continue
        that. Further frames are begun meanwhile.

        Raises:
            EngineError: as the stages.
        """
        begun = self._begun.popleft()
        if not begun.passed.done():
            self._working(self._early[-1].name)
            self._begin_until(begun.passed)
        record = begun.passed.result()
        if self._early:  # else the next frame is not taken before this one has a result
            self.begin()
        if not continues(self._before, record.frame):
            for stage in self._stages:
                stage.reset()
        self._before = record.frame
        return run_stages(record, self._late, self._working)

    def end(self) -> int:
        """Begin no more, and have the threads end; how many frames were not taken back."""
        left = len(self._begun)
        for _ in self.threads:
            self._todo.put(None)
        self._begun.clear()
        return left

    def _begin(self, most: int) -> None:
        while len(self._begun) < most and (record := self._take()) is not None:
            self._start(_Begun(record, Future()))

    def _begin_until(self, passed: Future[Record]) -> None:
        """Begin what comes while a frame that was taken back already is still in work."""
        while not passed.done():
            self._begin(self._count - 1)
            wait([passed], _LOOK_S if len(self._begun) < self._count - 1 else None)

    def _start(self, begun: _Begun) -> None:
        self._begun.append(begun)
        if not self._early:
            begun.passed.set_result(begun.record)
            return
        if len(self.threads) < self._count:
            thread = threading.Thread(target=self._work, name="infer", daemon=True)
            thread.start()
            self.threads.append(thread)
        self._todo.put(begun)

    def _work(self) -> None:
        while (begun := self._todo.get()) is not None:
            try:
                begun.passed.set_result(run_stages(begun.record, self._early))
            except BaseException as error:  # noqa: BLE001 - raised by finish
                begun.passed.set_exception(error)
            del begun  # nothing of it is held while there is nothing to do
