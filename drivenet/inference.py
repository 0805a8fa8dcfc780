"""The part of an engine that a stage may use, and what one picture is asked of it."""

from __future__ import annotations

from typing import Protocol

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.frame import Image
from drivenet.modelspec import ModelSpec


class Inference(Protocol):
    """What infers: :class:`drivenet.engine.base.Engine` is one."""

    spec: ModelSpec
    worker: int | None

    def infer(self, image: Image) -> Ids:
        """Class ids of one prepared picture."""
        ...

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """Class ids of one prepared picture, and where single things are."""
        ...

    def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
        """Class ids of one prepared picture, and how sure the engine is of each."""
        ...


def infer_layers(
    engine: Inference, image: Image, *, confident: bool
) -> tuple[Ids, Confidence | None, ThingMaps | None]:
    """All that an engine gives of one prepared picture; from two inferences if it has confidence and things.

    Args:
        engine: any.
        image: (H, W, 3) uint8 BGR with (H, W) = ``spec.input``.
        confident: whether confidence is wanted, which takes longer.

    Returns:
        What ``infer_confident`` and ``infer_things`` give; None where the engine offers nothing, or it is not wanted.

    Raises:
        EngineError: as the engine does.
    """
    spec = engine.spec
    if spec.things is None:
        return (*engine.infer_confident(image), None) if confident else (engine.infer(image), None, None)
    sure = engine.infer_confident(image)[1] if confident and spec.confidence else None
    ids, maps = engine.infer_things(image)
    return ids, sure, maps
