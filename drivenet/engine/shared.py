"""One engine for several sources: each has its turn, in the order in which they asked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine.base import Engine
from drivenet.frame import Image

T = TypeVar("T")

#: How many more may be past the gate than are inferred: one is prepared meanwhile, from the newest frame there is then.
_PREPARED = 1
#: How often who waits for a turn looks whether it is still wanted.
_TICK_S = 0.25


class SharedEngine:
    """Owns an engine and lends it; a ``with`` statement closes it.

    Every borrower is served in turn, so that a source that is quick takes nothing from one that is slow, and each takes
    its newest frame when its turn comes, not when it asked.

    Args:
        engine: what is lent; it is closed here and nowhere else.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed, self._inferring = threading.Condition(), threading.Semaphore(engine.lanes)
        self._waiting: deque[object] = deque()
        self._inside = 0

    def lend(self) -> Engine:
        """An engine like the owned one; to close it does nothing."""
        return LentEngine(self, self._engine)

    @contextmanager
    def turn(self, given_up: Callable[[], bool]) -> Iterator[bool]:
        """A place at the engine; False where it is not wanted any more before it comes."""
        granted = self._enter(object(), given_up)
        try:
            yield granted
        finally:
            if granted:
                with self._changed:
                    self._inside -= 1
                    self._changed.notify_all()

    def asked(self, act: Callable[[Engine], T]) -> T:
        """Ask the engine for something, when no more do than it has lanes."""
        with self._inferring:
            return act(self._engine)

    def close(self) -> None:
        """Release the engine."""
        self._engine.close()

    def _enter(self, me: object, given_up: Callable[[], bool]) -> bool:
        def my_turn() -> bool:
            return self._waiting[0] is me and self._inside < self._engine.lanes + _PREPARED

        with self._changed:
            self._waiting.append(me)
            while not self._changed.wait_for(my_turn, _TICK_S):
                if given_up():
                    break
            granted = my_turn()
            self._waiting.remove(me)
            self._inside += granted
            self._changed.notify_all()
        return granted


class LentEngine(Engine):
    """An engine that belongs to somebody else.

    Args:
        owner: whose it is.
        engine: what it is like; it may become another one while it serves.
    """

    def __init__(self, owner: SharedEngine, engine: Engine) -> None:
        self._owner, self._engine = owner, engine
        self._adopt()

    def turn(self, given_up: Callable[[], bool]) -> AbstractContextManager[bool]:
        """See :meth:`Engine.turn`."""
        return self._owner.turn(given_up)

    def infer(self, image: Image) -> Ids:
        """See :meth:`Engine.infer`."""
        return self._served(lambda engine: engine.infer(image))

    def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
        """See :meth:`Engine.infer_confident`."""
        return self._served(lambda engine: engine.infer_confident(image))

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """See :meth:`Engine.infer_things`."""
        return self._served(lambda engine: engine.infer_things(image))

    def describe(self) -> dict[str, object]:
        """See :meth:`Engine.describe`."""
        return self._engine.describe()

    def close(self) -> None:
        """Nothing: the owner closes it."""

    def _served(self, act: Callable[[Engine], T]) -> T:
        found = self._owner.asked(act)
        self._adopt()
        return found

    def _adopt(self) -> None:
        """Say of itself what the engine says: it may have been exchanged."""
        engine = self._engine
        self.spec, self.backend, self.precision = engine.spec, engine.backend, engine.precision
        self.file, self.worker = engine.file, engine.worker
