"""An engine for one run after the other: a run closes what it is given, and this stays open."""

from __future__ import annotations

import time

from drivenet.classmap import Ids, ThingMaps
from drivenet.engine.base import Engine
from drivenet.frame import Image


class Lent(Engine):
    """Another engine without its end.

    Args:
        engine: stays the caller's to close.
        slower_ms: so much longer every inference takes, as on a slower machine.
    """

    def __init__(self, engine: Engine, slower_ms: float = 0.0) -> None:
        self._engine, self._slower_s = engine, slower_ms / 1e3
        self.spec, self.backend, self.precision = engine.spec, engine.backend, engine.precision
        self.file, self.worker = engine.file, engine.worker
        self.lanes, self.contexts = engine.lanes, engine.contexts

    def infer(self, image: Image) -> Ids:
        """As the engine does, later."""
        ids = self._engine.infer(image)
        if self._slower_s:
            time.sleep(self._slower_s)
        return ids

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """As the engine does, later."""
        found = self._engine.infer_things(image)
        if self._slower_s:
            time.sleep(self._slower_s)
        return found

    def describe(self) -> dict[str, object]:
        """As the engine does; ``slower_ms`` where it is slowed down."""
        more: dict[str, object] = {"slower_ms": self._slower_s * 1e3} if self._slower_s else {}
        return {**self._engine.describe(), **more}

    def close(self) -> None:
        """Leave the engine open."""
