"""Connected components of each countable group: things where a model has no centres of its own."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.labels import COUNTABLE_GROUPS, GROUPS, LabelSet
from drivenet.things import MOST_THINGS, InstanceMap

#: A component smaller than this fraction of the image is noise.
MIN_AREA = 0.0004


@functools.lru_cache(maxsize=8)
def kinds_of(labels: LabelSet) -> npt.NDArray[np.uint8]:
    """By class id 1 + the place of its group among the countable ones, 0 for stuff and ids without a class; (256,)."""
    table = np.zeros(256, np.uint8)
    for kind, group in enumerate(COUNTABLE_GROUPS, 1):
        table[labels.group_table == GROUPS.index(group)] = kind
    table.flags.writeable = False
    return table


def components(ids: Ids, kinds: npt.NDArray[np.uint8], min_area: float = MIN_AREA) -> tuple[InstanceMap, int]:
    """Number the eight-connected components of every kind, largest first.

    Args:
        ids: (H', W') uint8 class ids.
        kinds: as :func:`kinds_of` gives them.
        min_area: components below this fraction of the image are left out (0 keeps all).

    Returns:
        the instance map, and how many there are; no more than :data:`~drivenet.things.MOST_THINGS`.
    """
    labelled, areas = label_kinds(np.asarray(cv2.LUT(ids, kinds), np.uint8))
    order, table = number(areas, min_area * ids.size)
    return np.asarray(table[labelled]), len(order)


def label_kinds(kinds: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Label the components of every kind but 0: labels (H', W') int32, 0 none, and the pixels of each label."""
    labels = np.zeros(kinds.shape, np.int32)
    areas = [np.zeros(1, np.int64)]
    last = 0
    for kind in range(1, len(COUNTABLE_GROUPS) + 1):
        mask = (kinds == kind).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)  # labelling all of a 512x256 map takes half a millisecond
        if not width:
            continue
        part = np.s_[top : top + height, left : left + width]
        count, found, stats, _ = cv2.connectedComponentsWithStats(mask[part], connectivity=8)
        labels[part] += np.where(found > 0, found + np.int32(last), np.int32(0))
        areas.append(stats[1:, cv2.CC_STAT_AREA].astype(np.int64))
        last += count - 1
    return labels, np.concatenate(areas)


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
