"""Two engines of one label set, of which one serves at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine.base import Engine
from drivenet.errors import UsageError
from drivenet.frame import Image


class Stepped(Engine):
    """Hands frames to the engine that is chosen, and says of itself what that one says.

    Args:
        engines: what can be chosen, from the best to the quickest; the first serves to begin with. They are closed
            with this one.

    Raises:
        UsageError: for engines of other classes than the first.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines, self._engine = tuple(engines), engines[0]
        names = {engine.spec.labels.name for engine in engines}
        if len({engine.spec.labels.classes for engine in engines}) > 1:
            raise UsageError(f"engines of the classes {' and '.join(sorted(names))}", "those of one label set")

    def __getattribute__(self, name: str) -> object:
        if name in ("spec", "backend", "precision", "file", "worker", "on_cpu", "lanes", "contexts"):
            return getattr(object.__getattribute__(self, "_engine"), name)
        return object.__getattribute__(self, name)

    def choose(self, number: int) -> None:
        """Have another one serve; called between two frames."""
        self._engine = self._engines[number]

    def infer(self, image: Image) -> Ids:
        """As the chosen engine's; so for all below."""
        return self._engine.infer(image)

    def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
        """Handed on."""
        return self._engine.infer_confident(image)

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """Handed on."""
        return self._engine.infer_things(image)

    def infer_many(self, images: Iterable[Image]) -> Iterator[Ids]:
        """Handed on."""
        return self._engine.infer_many(images)

    def turn(self, given_up: Callable[[], bool]) -> AbstractContextManager[bool]:
        """Handed on."""
        return self._engine.turn(given_up)

    def describe(self) -> dict[str, object]:
        """Handed on."""
        return self._engine.describe()

    def close(self) -> None:
        """Release all of them; raises what the first raises."""
        for engine in self._engines[1:]:
            with suppress(Exception):
                engine.close()
        self._engines[0].close()
