"""Scenes as pictures for other programs: panoptic PNG, and things cut out with a transparent background."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.errors import UsageError, nearest
from drivenet.frame import Image
from drivenet.labels import GROUPS, LabelSet
from drivenet.things import InstanceMap, Thing

_LOG = logging.getLogger(__name__)
#: Value = class id x 1000 + number.
_FACTOR = 1000
#: Label sets of more classes do not fit into 16 bits.
_MOST_CLASSES = 64


class PanopticEncoder:
    """Writes class id x 1000 + number for things, and the class id alone for stuff.

    In a 16-bit PNG; for a label set of more than 64 classes in the colours of COCO's panoptic PNG (red + 256 green +
    65536 blue). A thing has one number as long as it is tracked, from 1 on; when a run has used up 999 they begin
    again. Things without an id yet get the highest free numbers, from 999 down. Those of single pictures have numbers
    from 1 on. 65535 (white) is a pixel without a class.

    Args:
        labels: what the ids mean.
        single: whether the pictures have nothing to do with each other, so that nothing is tracked.
    """

    def __init__(self, labels: LabelSet, *, single: bool = False) -> None:
        self._labels, self._single = labels, single
        self._numbers: dict[int, int] = {}
        self._wide = len(labels) > _MOST_CLASSES
        if self._wide:
            _LOG.warning("%d classes do not fit into 16 bits: panoptic PNG in COCO's colours", len(labels))
        if labels.countable_table[0]:
            _LOG.warning("class 0 is %s: its things have values of 1 to 999 in panoptic PNGs, as stuff has; "
                         "give id 0 to a class of stuff", labels.classes[0])  # fmt: skip

    def encode(self, ids: Ids, instances: InstanceMap | None, things: Sequence[Thing]) -> bytes:
        """One frame.

        Args:
            ids: (H', W') uint8.
            instances: (H', W'), k where the k-th thing is.
            things: with or without ids.
        """
        values = np.asarray(ids, np.uint32)
        if instances is not None:
            classes = [0, *(self._labels.id_of(thing.cls) for thing in things)]
            table = np.array(classes, np.uint32) * _FACTOR + np.array([0, *self._numbered(things)], np.uint32)
            values = np.where(instances > 0, table[instances], values)
        unknown = ids >= len(self._labels)
        if self._wide:
            pixels = np.stack([values >> 16, values >> 8 & 255, values & 255], -1).astype(np.uint8)
            pixels[unknown] = 255
            return _png(pixels)
        values[unknown] = 0xFFFF
        return _png(values.astype(np.uint16))

    def _numbered(self, things: Sequence[Thing]) -> list[int]:
        if self._single:
            return list(range(1, len(things) + 1))
        tracked = [thing.id for thing in things if thing.id]
        new = [i for i in tracked if i not in self._numbers]
        if len(self._numbers) + len(new) >= _FACTOR:
            _LOG.warning("more than 999 things: panoptic numbers begin again at 1")
            self._numbers.clear()
        for i in tracked:
            self._numbers.setdefault(i, len(self._numbers) + 1)
        taken = {self._numbers[i] for i in tracked}
        others = (number for number in range(_FACTOR - 1, 0, -1) if number not in taken)
        return [self._numbers[thing.id] if thing.id else next(others) for thing in things]


def wanted_classes(names: Sequence[str], labels: LabelSet) -> npt.NDArray[np.bool_]:
    """Whether a class id is one of some classes or groups, (256,).

    Raises:
        UsageError: for a name that is neither.
    """
    table = np.zeros(256, np.bool_)
    for name in names:
        if name in labels.classes:
            table[labels.id_of(name)] = True
        elif name in GROUPS:
            table[list(labels.ids_of_group(name))] = True
        else:
            raise UsageError(f"no class or group {name!r}", cure=nearest(name, (*labels.classes, *GROUPS)))
    return table


def cutout(image: Image, ids: Ids, wanted: npt.NDArray[np.bool_]) -> bytes:
    """A PNG of an image that is opaque where some classes are and transparent elsewhere; as :func:`cutout_pixels`."""
    return _png(cutout_pixels(image, ids, wanted))


def cutout_pixels(image: Image, ids: Ids, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """An image that is opaque where some classes are and transparent elsewhere, (H, W, 4) uint8 BGRA.

    Args:
        image: (H, W, 3) uint8 BGR.
        ids: (H, W) uint8 class ids.
        wanted: by class id.
    """
    alpha = np.where(wanted[ids], np.uint8(255), np.uint8(0))
    return np.dstack([cv2.bitwise_and(image, image, mask=alpha), alpha])


def _png(pixels: npt.NDArray[np.integer]) -> bytes:
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()
