"""An engine whose answers are checked, and that is tried again and reopened before a run ends for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine.base import Engine
from drivenet.errors import EngineError
from drivenet.frame import Image
from drivenet.inference import checked_ids

T = TypeVar("T")
log = logging.getLogger("drivenet.engine")


class Watched(Engine):
    """Hands frames to an engine. One that fails, or gives ids that no class has, gets the frame again; then it is
    closed and opened anew and gets it once more; then the error is the run's, which ends for its supervisor.

    The check is of the shape and the largest id: a few microseconds a frame.

    Args:
        reopen: opens the engine, and opens it again.

    Raises:
        EngineError: if it cannot be opened.
    """

    def __init__(self, reopen: Callable[[], Engine]) -> None:
        self._reopen = reopen
        self._engine = reopen()
        #: How often a frame was tried again, and how often the engine was opened again.
        self.retries = self.reopened = 0

    def __getattribute__(self, name: str) -> object:
        # what an engine says of itself is asked anew: another one may serve by now
        if name in ("spec", "backend", "precision", "file", "worker", "on_cpu", "lanes", "contexts"):
            return getattr(object.__getattribute__(self, "_engine"), name)
        return object.__getattribute__(self, name)

    def infer(self, image: Image) -> Ids:
        """As the engine's, checked."""
        return self._tried(lambda engine: engine.infer(image), lambda ids: ids)

    def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
        """As the engine's, checked."""
        return self._tried(lambda engine: engine.infer_confident(image), lambda found: found[0])

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """As the engine's, checked."""
        return self._tried(lambda engine: engine.infer_things(image), lambda found: found[0])

    def infer_many(self, images: Iterable[Image]) -> Iterator[Ids]:
        """As the engine's; what is in work together is not tried again."""
        return map(self._checked, self._engine.infer_many(images))

    def turn(self, given_up: Callable[[], bool]) -> AbstractContextManager[bool]:
        """As the engine's."""
        return self._engine.turn(given_up)

    def describe(self) -> dict[str, object]:
        """As the engine's."""
        return self._engine.describe()

    def close(self) -> None:
        """Release the engine."""
        self._engine.close()

    def _tried(self, act: Callable[[Engine], T], ids_of: Callable[[T], Ids]) -> T:
        try:
            return self._once(act, ids_of)
        except EngineError as error:
            self.retries += 1
            log.warning("the engine failed and gets the frame again: %s", error)
        try:
            return self._once(act, ids_of)
        except EngineError as error:
            self.reopened += 1
            log.error("the engine failed twice and is opened again: %s", error)
        with suppress(Exception):
            self._engine.close()
        self._engine = self._reopen()
        return self._once(act, ids_of)

    def _once(self, act: Callable[[Engine], T], ids_of: Callable[[T], Ids]) -> T:
        try:
            found = act(self._engine)
        except (EngineError, MemoryError):
            raise
        except Exception as error:
            raise EngineError(f"{self._engine.file or 'the engine'}: {type(error).__name__}: {error}") from error
        self._checked(ids_of(found))
        return found

    def _checked(self, ids: Ids) -> Ids:
        """The ids; EngineError if they are none of this model."""
        return checked_ids(ids, self._engine.spec, self._engine.file)
