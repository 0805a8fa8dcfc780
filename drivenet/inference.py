"""The part of an engine that a stage may use, and what one picture is asked of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.errors import EngineError
from drivenet.frame import Image
from drivenet.labels import id_without_class
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
        EngineError: as the engine does, and for ids that are none of its model.
    """
    spec = engine.spec
    sure, maps = None, None
    if spec.things is not None:
        sure = engine.infer_confident(image)[1] if confident and spec.confidence else None
        ids, maps = engine.infer_things(image)
    elif confident:
        ids, sure = engine.infer_confident(image)
    else:
        ids = engine.infer(image)
    return checked_ids(ids, spec, getattr(engine, "file", "")), sure, maps


def checked_ids(ids: Ids, spec: ModelSpec, file: str) -> Ids:
    """The ids that an engine gave; EngineError if they are none of its model: their type, shape, or an id.

    A few microseconds a frame. Pixels without a class (255) are no fault.
    """
    who, n = file or "the engine", len(spec.labels.classes)
    if not isinstance(ids, np.ndarray) or ids.shape != spec.output or ids.dtype != np.uint8:
        shown = isinstance(ids, np.ndarray)
        got = f"{ids.dtype} of {'x'.join(map(str, ids.shape[::-1]))}" if shown else type(ids).__name__
        raise EngineError(f"{who} gave {got}", f"uint8 of {spec.output[1]}x{spec.output[0]}")
    if (odd := id_without_class(ids, n)) is not None:
        raise EngineError(f"{who} gave the id {odd}", f"ids below {n}")
    return ids
