"""Panoptic segmentation: one segment a stuff class, one a thing; scores and the field's file formats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.errors import UsageError
from drivenet.labels import COUNTABLE_GROUPS, LabelSet

#: Which segment each pixel belongs to, (H, W) int64: 0 none, else (class id + 1) * 65536 + instance.
Segments = npt.NDArray[np.int64]
SHIFT = 16
#: Cityscapes' classes with instances (``hasInstances`` in cityscapesScripts' ``labels.py``); its signs are stuff.
CITYSCAPES_THINGS = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")


def thing_classes(labels: LabelSet) -> tuple[str, ...]:
    """The classes that are counted: Cityscapes' own where all of them exist, else those of the countable groups."""
    if set(CITYSCAPES_THINGS) <= set(labels.classes):
        return CITYSCAPES_THINGS
    return tuple(c for c in labels.classes if labels.groups[c] in COUNTABLE_GROUPS)


def thing_table(labels: LabelSet, things: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Whether a class id is a thing, (256,)."""
    table = np.zeros(256, np.bool_)
    table[[labels.id_of(name) for name in things]] = True
    return table


def segments(
    ids: Ids, instances: npt.NDArray[np.integer], things: npt.NDArray[np.bool_], *, crowds: bool = False
) -> Segments:
    """Class ids and instances as one map.

    Args:
        ids: (H, W) uint8 class ids, 255 for none.
        instances: (H, W) 0 .. 65535, of pixels of thing classes; 0 where no single one is known.
        things: by class id.
        crowds: whether thing pixels with instance 0 are a segment, which is a crowd in the truth; otherwise they
            belong to none.

    Raises:
        UsageError: for maps of different sizes, or instances out of range.
    """
    if ids.shape != instances.shape:
        raise UsageError(f"class ids {ids.shape}, instances {instances.shape}", "equal sizes")
    if instances.size and not 0 <= int(instances.min()) <= int(instances.max()) < 1 << SHIFT:
        raise UsageError(f"instances {int(instances.min())} to {int(instances.max())}", f"0 to {(1 << SHIFT) - 1}")
    countable = things[ids]
    out = (ids.astype(np.int64) + 1 << SHIFT) + np.where(countable, instances, 0)
    none = ids == 255
    if not crowds:
        none |= countable & (instances == 0)
    out[none] = 0
    return out


def class_of(segment: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Class ids of segments; -1 for 0."""
    return (segment >> SHIFT) - 1
