"""The single things of one picture, by whatever engine parts them."""

from __future__ import annotations

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine.base import Engine
from drivenet.frame import Image
from drivenet.inference import infer_layers
from drivenet.modelspec import ModelSpec
from drivenet.prepare import Size, crop_bars, crop_maps, prepare_for
from drivenet.scene import parted
from drivenet.things import InstanceMap
from drivenet.things.grouping import Grouped


def infer_all(engine: Engine, picture: Image) -> tuple[Ids, Confidence | None, ThingMaps | None]:
    """All that an engine gives of one picture, confidence included; see :func:`~drivenet.inference.infer_layers`.

    Args:
        engine: any.
        picture: (H, W, 3) uint8 BGR of any size.

    Returns:
        What :meth:`Engine.infer_confident` and :meth:`Engine.infer_things` give, without the bars of a letterbox.

    Raises:
        EngineError: as :meth:`Engine.infer`.
    """
    spec, size = engine.spec, (picture.shape[0], picture.shape[1])
    ids, sure, maps = infer_layers(engine, prepare_for(picture, spec), confident=True)
    sure = None if sure is None else crop_bars(sure, spec, size)
    return crop_bars(ids, spec, size), sure, None if maps is None else crop_maps(maps, spec, size)


def single_things(spec: ModelSpec, ids: Ids, maps: ThingMaps | None, size: Size) -> tuple[Ids, Grouped | None]:
    """What :meth:`Engine.infer_things` gave of a picture as a run hands it on: without bars, in single things.

    Args:
        spec: of the engine.
        ids, maps: what it gave.
        size: (height, width) of the picture before it was prepared.

    Returns:
        (H', W') uint8 class ids without the bars of a letterbox, and the things in them; None where the engine has no
        centres.
    """
    ids = crop_bars(ids, spec, size)
    if maps is None or spec.things is None:
        return ids, None
    return ids, parted(ids, crop_maps(maps, spec, size), spec.things, spec.label_set)


def infer_instances(engine: Engine, image: Image, size: Size) -> tuple[Ids, InstanceMap | None]:
    """Class ids, and which thing each pixel belongs to, both as :func:`single_things` gives them.

    Args:
        engine: any.
        image: as :meth:`Engine.infer` takes it.
        size: (height, width) of the picture before it was prepared.

    Raises:
        EngineError: as :meth:`Engine.infer`.
    """
    ids, things = single_things(engine.spec, *engine.infer_things(image), size)
    return ids, None if things is None else things.instances
