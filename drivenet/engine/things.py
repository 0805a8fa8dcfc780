"""The single things of one picture, by whatever engine parts them."""

from __future__ import annotations

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine.base import Engine
from drivenet.frame import Image
from drivenet.scene import parted
from drivenet.things import InstanceMap


def infer_all(engine: Engine, image: Image) -> tuple[Ids, Confidence | None, ThingMaps | None]:
    """All that an engine gives of one picture, from one inference: it has confidence or things, not both.

    Args:
        engine: any.
        image: as :meth:`Engine.infer` takes it.

    Raises:
        EngineError: as :meth:`Engine.infer`.
    """
    if engine.spec.things is None:
        return *engine.infer_confident(image), None
    ids, maps = engine.infer_things(image)
    return ids, None, maps


def infer_instances(engine: Engine, image: Image) -> tuple[Ids, InstanceMap | None]:
    """Class ids, and which thing each pixel belongs to, (H', W') uint8; None where the engine has no centres.

    Args:
        engine: any.
        image: as :meth:`Engine.infer` takes it.

    Raises:
        EngineError: as :meth:`Engine.infer`.
    """
    ids, maps = engine.infer_things(image)
    spec = engine.spec
    if maps is None or spec.things is None:
        return ids, None
    return ids, parted(ids, maps, spec.things, spec.label_set).instances
