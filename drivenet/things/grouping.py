"""Class ids, centres and offsets to things (Cheng et al. 2020, Panoptic-DeepLab), in the order of a millisecond."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.things import MOST_THINGS, InstanceMap
from drivenet.things.components import label_kinds, number
from drivenet.things.measure import Floats, Ints

#: Two peaks of the same height so few cells apart are one: the graph leaves the highest of 7 x 7 cells.
BESIDE = 3
#: A pixel is a stray where it lies farther from its thing's mean than so many mean deviations and pixels.
FAR, MARGIN = 3.0, 2.0

Centres = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class GroupingRule:
    """Thresholds of the grouping; a model brings its own.

    Args:
        centre: a peak of the centre map below this (1..255) is no centre.
        reach: an offset that ends farther than this from every centre claims no centre, in cells of the centre map.
        scale: cells an offset of 1 stands for.
        min_area: things below this fraction of the image are left out.
    """

    centre: int
    reach: float
    scale: float
    min_area: float


@dataclass(frozen=True, eq=False)
class Grouped:
    """Things 1 .. n, largest first.

    Args:
        instances: (H', W') uint8.
        scores: (n,) the height of each one's centre, 0..1; 0 for a component that no centre claimed.
    """

    instances: InstanceMap
    scores: Floats


def group(ids: Ids, centres: Centres, offsets: Offsets, kinds: npt.NDArray[np.uint8], rule: GroupingRule) -> Grouped:
    """Part the things of a class map.

    Each thing pixel goes to the centre nearest to where its offset points; pixels of different kinds (vehicle,
    pedestrian, sign) never make one thing. Pixels that claim no centre, or one that too few others of their kind
    claim, join the nearest thing of their connected component, and so do those far from the others of their thing; a
    component without any thing is one.

    Args:
        ids: (H', W') uint8 class ids.
        centres: (h, w) uint8, 0 but at peaks.
        offsets: (2, h, w) uint8, rows and columns from a cell to the centre of its thing, in ``rule.scale`` cells; 128
            is none.
        kinds: by class id, 0 for stuff; see :func:`~drivenet.things.components.kinds_of`.
        rule: the thresholds.
    """
    kind = np.asarray(cv2.LUT(ids, kinds), np.uint8)
    heights, claimed = _claims(centres, offsets, rule)
    wide = np.asarray(cv2.resize(claimed, ids.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    pixels, least = np.flatnonzero(kind), max(1.0, rule.min_area * ids.size)
    centre = wide.ravel()[pixels].astype(np.int64)
    pairs = np.where(centre > 0, 4 * centre + kind.ravel()[pixels], 0)  # one number for each centre and kind
    counts = np.bincount(pairs, minlength=4 * 256)
    big = np.flatnonzero(counts[1:] >= least) + 1
    compact = np.zeros(4 * 256, np.int64)
    compact[big] = np.arange(1, len(big) + 1)
    claimed_things = compact[pairs]
    strays = _strays(claimed_things, pixels, ids.shape[1], len(big))
    things = _adopt(claimed_things, strays, pixels, kind, len(big))
    sizes = np.bincount(things, minlength=len(big) + 1)
    sizes[0] = 0
    order, table = number(sizes, least)
    instances = np.zeros(ids.shape, np.uint8)
    instances.ravel()[pixels] = table[things]
    scores = np.concatenate([[0.0], heights[big // 4], np.zeros(len(sizes))])
    return Grouped(instances, scores[order])


def _claims(centres: Centres, offsets: Offsets, rule: GroupingRule) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Heights of the centres by number, (256,) of 0..1, and the number that each cell's offset points at, 0 none."""
    heights = np.zeros(256)
    peaks = np.flatnonzero(centres >= max(1, rule.centre))
    if not len(peaks):
        return heights, np.zeros(centres.shape, np.uint8)
    if len(peaks) > MOST_THINGS:
        peaks = np.sort(peaks[np.argsort(-centres.ravel()[peaks].astype(int), kind="stable")[:MOST_THINGS]])
    rows, columns = centres.shape
    steps = (offsets.astype(np.float32) - 128) * np.float32(rule.scale)
    roots = _merged(peaks, centres.ravel()[peaks], columns)
    heights[1 : len(peaks) + 1] = centres.ravel()[peaks] / 255
    seeds = np.ones(centres.shape, np.uint8)
    seeds.ravel()[peaks] = 0
    distance, nearest = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    numbers = np.zeros(len(peaks) + 1, np.uint8)  # OpenCV numbers the seeds; it does not say in which order
    numbers[nearest.ravel()[peaks]] = roots + 1
    y = np.arange(rows, dtype=np.float32)[:, None] + steps[0]
    x = np.arange(columns, dtype=np.float32)[None, :] + steps[1]
    at = np.clip(np.rint(y), 0, rows - 1).astype(np.int32) * columns
    at += np.clip(np.rint(x), 0, columns - 1).astype(np.int32)
    near = distance.ravel()[at] <= rule.reach
    return heights, np.asarray(np.where(near, numbers[nearest.ravel()[at]], np.uint8(0)))


def _merged(peaks: Ints, heights: npt.NDArray[np.uint8], columns: int) -> Ints:
    """Of each peak the one that stands for it: itself, or the first one of the same height beside it.

    Args:
        peaks: (n,) cells, ascending.
        heights: (n,) of them.
        columns: cells in a row.
    """
    y, x = np.divmod(peaks, columns)
    beside = np.maximum(np.abs(y - y[:, None]), np.abs(x - x[:, None])) <= BESIDE
    first = (beside & (heights == heights[:, None])).argmax(1)
    return np.asarray(first[first])


def _strays(things: Ints, pixels: Ints, columns: int, count: int) -> npt.NDArray[np.bool_]:
    """Which pixels lie far from the others of their thing, (n,): beyond :data:`FAR` times its mean deviation.

    A rectangle ends at twice its mean deviation; a thing behind a pole keeps both its parts.
    """
    sizes = np.maximum(np.bincount(things, minlength=count + 1), 1)
    far = np.zeros(len(things), bool)
    for axis in np.divmod(pixels, columns):
        mean = np.bincount(things, axis, count + 1) / sizes
        away = np.abs(axis - mean[things])
        deviation = np.bincount(things, away, count + 1) / sizes
        far |= away > (FAR * deviation + MARGIN)[things]
    return np.asarray(far & (things > 0), np.bool_)


def _adopt(things: Ints, strays: npt.NDArray[np.bool_], pixels: Ints, kind: npt.NDArray[np.uint8], count: int) -> Ints:
    """Give pixels without a thing the nearest one of their component; components without any get new numbers.

    Args:
        things: (n,) 0 .. ``count`` by pixel, 0 none.
        strays: (n,) pixels that are to lose theirs.
        pixels: (n,) where the pixels are.
        kind: (H', W') what is a component of its own.
        count: things so far.
    """
    without = (things == 0) | strays
    if not without.any():
        return things
    labelled, areas = label_kinds(kind)
    parts = labelled.ravel()[pixels].astype(np.int64)
    kept = np.where(strays, 0, things)
    votes = np.bincount(parts * (count + 1) + kept, minlength=len(areas) * (count + 1)).reshape(len(areas), -1)
    votes[:, 0] = 0
    fresh = np.arange(len(areas)) + count + 1
    adopted = np.where(votes.any(1), votes.argmax(1), fresh)[parts]
    if not without.all():
        near = _nearest(pixels, ~without, kind.shape)
        adopted = np.where(parts[near] == parts, kept[near], adopted)
    return np.asarray(np.where(without, adopted, things))


def _nearest(pixels: Ints, seeds: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> Ints:
    """Of each pixel the nearest one that is a seed, by its place among the pixels; (n,).

    Args:
        pixels: (n,) where the pixels are, ascending, in a map of that shape.
        seeds: (n,) at least one of them.
        shape: (H', W').
    """
    first, last = (int(pixel) // shape[1] for pixel in pixels[[0, -1]])
    pixels = pixels - first * shape[1]
    other = np.ones((last + 1 - first, shape[1]), np.uint8)
    other.ravel()[pixels[seeds]] = 0
    _, labels = cv2.distanceTransformWithLabels(other, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    found = labels.ravel()[pixels]
    places = np.zeros(int(seeds.sum()) + 1, np.int64)  # OpenCV numbers the seeds; it does not say in which order
    places[found[seeds]] = np.flatnonzero(seeds)
    return np.asarray(places[found])
