"""Connected components of each countable group: things where a model has no centres of its own."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.labels import COUNTABLE_GROUPS
from drivenet.things import MOST_THINGS, InstanceMap
from drivenet.things.measure import places

#: A component smaller than this fraction of the image is noise.
MIN_AREA = 0.0004


def components(ids: Ids, kinds: npt.NDArray[np.uint8], min_area: float = MIN_AREA) -> tuple[InstanceMap, int]:
    """Number the eight-connected components of every kind, largest first.

    Args:
        ids: (H', W') uint8 class ids.
        kinds: as :attr:`~drivenet.labels.LabelSet.countable_table` gives them.
        min_area: components below this fraction of the image are left out (0 keeps all).

    Returns:
        the instance map, and how many there are; no more than :data:`~drivenet.things.MOST_THINGS`.
    """
    kind = np.asarray(cv2.LUT(ids, kinds), np.uint8)
    pixels = places(kind)
    labels = label_kinds(kind, range(1, len(COUNTABLE_GROUPS) + 1)).ravel()[pixels]
    order, table = number(np.bincount(labels, minlength=1), min_area * ids.size)
    instances = np.zeros(ids.shape, np.uint8)
    instances.ravel()[pixels] = table[labels]
    return instances, len(order)


def label_kinds(kind: npt.NDArray[np.uint8], wanted: Iterable[int]) -> npt.NDArray[np.int32]:
    """Number the components of some kinds, (H', W'), 0 none.

    Args:
        kind: (H', W').
        wanted: kinds, in the order in which they are numbered.
    """
    labels = np.zeros(kind.shape, np.int32)
    last, (_, first, _, rows) = 0, cv2.boundingRect(kind)
    for one in wanted:
        mask = (kind[first : first + rows] == one).view(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)  # the components of all of a map take several times as long
        if not width:
            continue
        count, found = cv2.connectedComponents(mask[top : top + height, left : left + width], connectivity=8)
        part = labels[first + top : first + top + height, left : left + width]
        np.add(found, last, out=part, where=found > 0)
        last += count - 1
    return labels


def number(areas: npt.NDArray[np.int64], least: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Instance numbers from the largest label down.

    Args:
        areas: (n,) pixels of each label; label 0 is none.
        least: labels with fewer pixels, or none, are left out.

    Returns:
        the labels of the numbers 1, 2, ..., and the number of each label, (n,) uint8, 0 for those left out.
    """
    order = np.argsort(-areas[1:], kind="stable") + 1
    order = order[areas[order] >= max(1.0, least)][:MOST_THINGS]
    table = np.zeros(len(areas), np.uint8)
    table[order] = np.arange(1, len(order) + 1)
    return order, table
