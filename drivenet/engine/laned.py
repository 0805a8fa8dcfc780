"""Several engines of one model with some of the cores each: more pictures a second than one that has them all."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from drivenet.at_work import AT_WORK
from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine import open_engine, open_like
from drivenet.engine.base import Engine
from drivenet.frame import Image
from drivenet.host.cpu import physical_cores

T = TypeVar("T")
F = TypeVar("F")
#: More lanes than that give little more than the threads that read pictures and take results can use.
_MOST_LANES = 4
#: How long the end waits for a lane that is just being opened, and a start that wants all lanes.
_PATIENCE_S, _START_S = 0.5, 5.0
log = logging.getLogger("drivenet.engine")


def most_lanes(threads: int | None) -> int:
    """How many lanes ``threads``, or one a physical core for None, are worth: one a thread, at most four."""
    return max(1, min(threads or physical_cores(), _MOST_LANES))


def in_lanes(
    first: Engine, lanes: int, watched: Callable[[Callable[[], Engine]], Engine] = lambda opens: opens(),
    at_once: bool = False,
) -> Engine:  # fmt: skip
    """An engine and others like it; the engine itself for one lane, or where it is not the processor that computes.

    Args:
        first: with the threads of one lane.
        lanes: how many.
        watched: opens the others.
        at_once: whether they are opened now, and not only once the first has served a picture.
    """
    if lanes == 1 or not first.on_cpu:
        return first
    threads = int(str(first.describe()["threads"]))
    laned = Laned(first, lambda: watched(lambda: open_like(first, threads)), lanes)
    if at_once:
        laned.open_all()
    return laned


def open_for_many(engine: str | Path | None, backend: str, precision: str, threads: int | None) -> Engine:
    """As :func:`drivenet.engine.open_engine`, in lanes: where pictures a second count, not how long one takes."""
    lanes = most_lanes(threads)
    return in_lanes(open_engine(engine, backend, precision, threads, lanes), lanes)


def in_order(engine: Engine, act: Callable[[Any, T], F], items: Iterable[T]) -> Iterator[tuple[T, F]]:
    """Do something with an engine and each of many items: as many at a time as it has lanes, beside the caller.

    Take all of them, or close the iterator, before the engine is asked for anything else.

    Args:
        engine: any.
        act: called with the engine and an item, in a thread of its own.
        items: taken when they are needed, in the caller's thread.

    Yields:
        Every item and what ``act`` returned, in the order of the items.
    """
    begun: deque[tuple[T, Future[F]]] = deque()
    with ThreadPoolExecutor(engine.lanes, "infer") as pool:
        for item in items:
            begun.append((item, pool.submit(act, engine, item)))
            if len(begun) > engine.lanes:
                first, done = begun.popleft()
                yield first, done.result()
        for item, done in begun:
            yield item, done.result()


class Laned(Engine):
    """Serves as many threads at a time as it has lanes, each by an engine of its own.

    The threads of one engine wait for each other in every layer; those of several do not, but one picture takes longer.
    The other lanes are opened in the background once the first has served a picture, which nothing shall hold up. Until
    they are there, and where one cannot be opened, threads share what is open. One that is there only after the end is
    closed at once.

    Args:
        first: the engine of the first lane; it is closed with this one.
        another: opens one for each further lane.
        lanes: how many.
    """

    def __init__(self, first: Engine, another: Callable[[], Engine], lanes: int) -> None:
        self._first, self._another = first, another
        self.lanes = self.contexts = lanes
        self._open, self._free, self._there = [first], [first], lanes
        self._given_back = threading.Condition()
        self._numbers, self._mine = count(), threading.local()
        self._ending, self._closing = threading.Lock(), False
        self._opener = threading.Thread(target=self._open_others, name="open lanes", daemon=True)

    def __getattribute__(self, name: str) -> object:
        if name in ("spec", "backend", "precision", "file", "on_cpu"):
            return getattr(object.__getattribute__(self, "_first"), name)
        return object.__getattribute__(self, name)

    @property
    def worker(self) -> int | None:  # type: ignore[override]
        """The thread that infers for the calling one, if its lane is free then."""
        return self._own().worker

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
        kept = (image.copy() for image in images)  # the caller may reuse it for the next one
        return (ids for _, ids in in_order(self, Laned.infer, kept))

    def describe(self) -> dict[str, object]:
        """As the first engine's, and how many ``lanes`` there are."""
        return {**self._first.describe(), "lanes": self._there}

    def close(self) -> None:
        """Release all engines; raises what the first raises."""
        with self._ending:
            self._closing = True
        if self._opener.ident is not None:
            self._opener.join(_PATIENCE_S)
        with ExitStack() as closing:
            for engine in self._open:
                closing.callback(engine.close)

    def open_more(self) -> None:
        """Begin to open the other lanes, if that was not begun yet; the first picture that is served does so too."""
        with self._ending:
            if self._opener.ident is None and not self._closing:
                self._opener.start()

    def open_all(self) -> None:
        """Open the other lanes now, before there is a picture; one that takes long is waited for only for a while."""
        self.open_more()
        self._opener.join(_START_S)

    def _open_others(self) -> None:
        try:
            while len(self._open) < self.lanes and not self._closing:
                with AT_WORK.on("a lane"):
                    engine = self._another()
                self._add(engine)
        except Exception as error:  # noqa: BLE001 - whatever it is, the frames go on
            self._there = len(self._open)
            log.warning("the engine serves %d frames at a time, not %d: %s", self._there, self.lanes, error)

    def _add(self, engine: Engine) -> None:
        with self._ending:
            if not self._closing:
                self._open.append(engine)
                self._give_back(engine)
                return
        engine.close()

    def _own(self) -> Engine:
        """That of the calling thread: each has the next one, and threads beyond the lanes share them."""
        if not hasattr(self._mine, "number"):
            self._mine.number = next(self._numbers)
        number: int = self._mine.number
        return self._open[number % len(self._open)]

    def _ask(self, act: Callable[[Engine], T]) -> T:
        engine = self._taken()
        try:
            return act(engine)
        finally:
            self._give_back(engine)
            self.open_more()

    def _taken(self) -> Engine:
        """The own engine if it is free, else the first that is."""
        with self._given_back:
            self._given_back.wait_for(lambda: self._free)
            own = self._own()
            return self._free.pop(self._free.index(own) if own in self._free else 0)

    def _give_back(self, engine: Engine) -> None:
        with self._given_back:
            self._free.append(engine)
            self._given_back.notify()
