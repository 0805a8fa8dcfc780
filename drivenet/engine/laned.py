"""Several engines of one model with some of the cores each: more pictures a second than one that has them all."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import NamedTuple, TypeVar

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine.base import Engine
from drivenet.errors import DrivenetError
from drivenet.frame import Image

T = TypeVar("T")
log = logging.getLogger("drivenet.engine")


class _Lane(NamedTuple):
    engine: Engine
    #: Held by the thread that asks it for something.
    asked: threading.Lock


class Laned(Engine):
    """Serves as many threads at a time as it has lanes, each by an engine of its own.

    The threads of one engine wait for each other in every layer; those of several do not, but one picture takes longer.
    The other lanes are opened in the background. Until then, and where one cannot be opened, threads share what is
    open.

    Args:
        first: the engine of the first lane; it is closed with this one.
        another: opens one for each further lane.
        lanes: how many.
    """

    def __init__(self, first: Engine, another: Callable[[], Engine], lanes: int) -> None:
        self._first, self._another, self.lanes = first, another, lanes
        self._open = [_Lane(first, threading.Lock())]
        self._numbers, self._mine, self._closing = count(), threading.local(), False
        self._opener = threading.Thread(target=self._open_others, name="open lanes", daemon=True)
        self._opener.start()

    def __getattribute__(self, name: str) -> object:
        if name in ("spec", "backend", "precision", "file", "on_cpu"):
            return getattr(object.__getattribute__(self, "_first"), name)
        return object.__getattribute__(self, name)

    @property
    def contexts(self) -> int:  # type: ignore[override]
        """See :attr:`Engine.contexts`."""
        return self.lanes

    @property
    def worker(self) -> int | None:  # type: ignore[override]
        """The thread that infers for the calling one."""
        return self._lane().engine.worker

    def infer(self, image: Image) -> Ids:
        """See :meth:`Engine.infer`; so for all below."""
        return self._ask(lambda engine: engine.infer(image))

    def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
        """By the engine of the calling thread."""
        return self._ask(lambda engine: engine.infer_confident(image))

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """By the engine of the calling thread."""
        return self._ask(lambda engine: engine.infer_things(image))

    def infer_many(self, images: Iterable[Image]) -> Iterator[Ids]:
        """As many at a time as there are lanes."""
        begun: deque[Future[Ids]] = deque()
        with ThreadPoolExecutor(self.lanes, "infer") as pool:
            for image in images:
                begun.append(pool.submit(self.infer, image.copy()))  # the caller may reuse it for the next one
                if len(begun) > self.lanes:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()

    def describe(self) -> dict[str, object]:
        """As the first engine's, and how many ``lanes`` are open."""
        return {**self._first.describe(), "lanes": len(self._open)}

    def close(self) -> None:
        """Release all engines."""
        self._closing = True
        self._opener.join()
        for lane in self._open:
            lane.engine.close()

    def _open_others(self) -> None:
        try:
            while len(self._open) < self.lanes and not self._closing:
                self._open.append(_Lane(self._another(), threading.Lock()))
        except (DrivenetError, MemoryError) as error:
            log.warning("the engine serves %d frames at a time, not %d: %s", len(self._open), self.lanes, error)

    def _lane(self) -> _Lane:
        """That of the calling thread: each has the next one, and threads beyond the lanes share them."""
        if not hasattr(self._mine, "number"):
            self._mine.number = next(self._numbers)
        number: int = self._mine.number
        return self._open[number % len(self._open)]

    def _ask(self, act: Callable[[Engine], T]) -> T:
        engine, asked = self._lane()
        with asked:
            return act(engine)
