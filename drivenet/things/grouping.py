"""Class ids, centres and offsets to things (Cheng et al. 2020, Panoptic-DeepLab), in the order of a millisecond."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.things import MOST_THINGS, InstanceMap
from drivenet.things.components import MIN_AREA, label_kinds, number
from drivenet.things.measure import Floats, Ints, places

#: Two peaks of the same height so few cells apart are one: the graph leaves the highest of 7 x 7 cells.
BESIDE = 3
#: A pixel is a stray where it lies farther from its thing's mean than so many mean deviations and pixels.
FAR, MARGIN = 3.0, 2.0
#: Pixels of another kind that claim a thing's centre are a thing of their own from this fraction of its pixels on:
#: fewer are a seam whose class is wrong.
SEAM = 0.1
#: The nearest pixel of a thing is looked for in so many rows first.
NEARBY = 16

Centres = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.uint8]
#: Top, left, height and width in cells.
Window = tuple[float, float, float, float]
Singles = npt.NDArray[np.float32]


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


def group(
    ids: Ids, centres: Centres, offsets: Offsets, kinds: npt.NDArray[np.uint8], rule: GroupingRule,
    window: Window | None = None,
) -> Grouped:  # fmt: skip
    """Part the things of a class map.

    Each thing pixel goes to the centre nearest to where its offset points; pixels of different kinds (vehicle,
    pedestrian, sign) never make one thing. Pixels that claim no centre, or one that too few others of their kind
    claim, join the nearest thing of their connected component, and so do those far from the others of their thing; a
    component without any thing is one from :data:`~drivenet.things.components.MIN_AREA` on, seams not counted.

    Args:
        ids: (H', W') uint8 class ids.
        centres: (h, w) uint8, 0 but at peaks.
        offsets: (2, h, w) uint8, rows and columns from a cell to the centre of its thing, in ``rule.scale`` cells; 128
            is none.
        kinds: by class id, 0 for stuff; see :attr:`~drivenet.labels.LabelSet.countable_table`.
        rule: the thresholds.
        window: the part of the cells that the class map shows; None for all of them.
    """
    kind = np.asarray(cv2.LUT(ids, kinds), np.uint8)
    pixels, least = places(kind), max(1.0, rule.min_area * ids.size)
    kind_of, cells = kind.ravel()[pixels], _cells(ids.shape, centres.shape, window)[pixels]
    heights, centre = _claims(centres, offsets, rule, cells)
    pairs = 4 * centre.astype(np.int64) + kind_of  # one number for each centre and kind, below 4 without a centre
    counts = np.bincount(pairs, minlength=4 * 256)
    counts[:4] = 0
    seams = counts < SEAM * np.repeat(counts.reshape(-1, 4).max(1), 4)
    big = np.flatnonzero((counts >= least) & ~seams)
    compact = np.zeros(4 * 256, np.int64)
    compact[big] = np.arange(1, len(big) + 1)
    things = compact[pairs]
    strays = _strays(things, pixels, ids.shape[1], len(big))
    things = _adopt(things, strays, pixels, kind, len(big))
    sizes = np.bincount(things, minlength=len(big) + 1)
    sizes[0] = 0
    added = np.flatnonzero(things > len(big))
    alone = np.bincount(things[added[~seams[pairs[added]]]], minlength=len(sizes))[len(big) + 1 :]
    sizes[len(big) + 1 :] *= alone >= max(rule.min_area, MIN_AREA) * ids.size
    order, table = number(sizes, least)
    instances = np.zeros(ids.shape, np.uint8)
    instances.ravel()[pixels] = table[things]
    scores = np.concatenate([[0.0], heights[big // 4], np.zeros(len(sizes))])
    return Grouped(instances, scores[order])


@functools.lru_cache(maxsize=8)
def _cells(size: tuple[int, ...], grid: tuple[int, ...], window: Window | None) -> npt.NDArray[np.int32]:
    """The cell of a grid in which each pixel of a map of a window of it lies, by their places in memory."""
    cells = np.arange(grid[0] * grid[1], dtype=np.int32).reshape(grid)
    if window is not None:
        starts, lengths = window[:2], window[2:]
        rows, columns = (
            np.clip((start + (np.arange(n) + 0.5) * length / n).astype(np.intp), 0, side - 1)
            for start, length, n, side in zip(starts, lengths, size, grid, strict=True)
        )
        return np.asarray(cells[rows[:, None], columns], np.int32).ravel()
    return np.asarray(cv2.resize(cells, size[::-1], interpolation=cv2.INTER_NEAREST), np.int32).ravel()


def _claims(
    centres: Centres, offsets: Offsets, rule: GroupingRule, cells: npt.NDArray[np.int32]
) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Heights of the centres by number, (256,) of 0..1, and the number that each cell's offset points at, 0 none.

    Args:
        centres, offsets, rule: as for :func:`group`.
        cells: (n,) those that are asked for; they may be so several times.
    """
    heights = np.zeros(256)
    peaks = np.flatnonzero(centres >= max(1, rule.centre))
    if not len(peaks):
        return heights, np.zeros(len(cells), np.uint8)
    if len(peaks) > MOST_THINGS:
        peaks = np.sort(peaks[np.argsort(-centres.ravel()[peaks].astype(int), kind="stable")[:MOST_THINGS]])
    heights[1 : len(peaks) + 1] = centres.ravel()[peaks] / 255
    asked = np.zeros(centres.size, bool)
    asked[cells] = True
    some = np.flatnonzero(asked)
    claimed = np.zeros(centres.size, np.uint8)
    claimed[some] = _nearest_peaks(*_targets(some, offsets, rule.scale), centres, peaks, rule.reach)
    return heights, claimed[cells]


def _targets(cells: Ints, offsets: Offsets, scale: float) -> tuple[Singles, Singles]:
    """Row and column at which the offset of each of some cells points, (n,) whole numbers, maybe outside of the map."""
    columns = offsets.shape[2]
    steps = (offsets.reshape(2, -1)[:, cells].astype(np.float32) - 128) * np.float32(scale)
    rows = cells // columns
    return np.rint(rows.astype(np.float32) + steps[0]), np.rint((cells - rows * columns).astype(np.float32) + steps[1])


def _nearest_peaks(y: Singles, x: Singles, centres: Centres, peaks: Ints, reach: float) -> npt.NDArray[np.uint8]:
    """The number of the peak nearest to each of some places, 0 where none is within reach, (n,).

    Distances are measured within the box of the peaks and a margin; what lies farther out is within reach of none.
    """
    row, column = np.divmod(peaks, centres.shape[1])
    margin = int(min(reach, max(centres.shape))) + 1
    top, left = max(0, int(row[0]) - margin), max(0, int(column.min()) - margin)
    height = min(centres.shape[0], int(row[-1]) + margin + 1) - top
    width = min(centres.shape[1], int(column.max()) + margin + 1) - left
    within = (row - top) * width + column - left
    seeds = np.ones((height, width), np.uint8)
    seeds.ravel()[within] = 0
    distance, nearest = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    numbers = np.zeros(len(peaks) + 1, np.uint8)  # OpenCV numbers the seeds; it does not say in which order
    numbers[nearest.ravel()[within]] = _merged(row, column, centres.ravel()[peaks]) + 1
    at = np.clip(y - top, 0, height - 1).astype(np.int64) * width + np.clip(x - left, 0, width - 1).astype(np.int64)
    return np.asarray(numbers[nearest.ravel()[at]] * (distance.ravel()[at] <= reach), np.uint8)


def _merged(y: Ints, x: Ints, heights: npt.NDArray[np.uint8]) -> Ints:
    """Of each peak the one that stands for it: itself, or the first one of the same height beside it.

    Args:
        y, x: (n,) its row and column, ascending.
        heights: (n,) of them.
    """
    beside = np.maximum(np.abs(y - y[:, None]), np.abs(x - x[:, None])) <= BESIDE
    first = (beside & (heights == heights[:, None])).argmax(1)
    return np.asarray(first[first])


def _strays(things: Ints, pixels: Ints, columns: int, count: int) -> npt.NDArray[np.bool_]:
    """Which pixels lie far from the others of their thing, (n,): beyond :data:`FAR` times its mean deviation.

    A rectangle ends at twice its mean deviation; a thing behind a pole keeps both its parts.
    """
    sizes = np.maximum(np.bincount(things, minlength=count + 1), 1)
    far = np.zeros(len(things), bool)
    within = pixels.astype(np.int32)  # divided in half the time
    rows = within // columns
    for axis in (rows, within - rows * columns):
        place = axis.astype(np.float64)
        mean = np.bincount(things, place, count + 1) / sizes
        away = np.abs(place - mean[things])
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
    kept = things * ~strays
    lost = np.flatnonzero(kept == 0)
    if not len(lost):
        return kept
    parts = _parts(kind, pixels, lost)
    votes = np.bincount(parts * (count + 1) + kept, minlength=(int(parts.max()) + 1) * (count + 1))
    votes = votes.reshape(-1, count + 1)
    votes[:, 0] = 0
    rivals, sure = np.count_nonzero(votes, axis=1), kept > 0
    kept[lost] = np.where(rivals > 0, votes.argmax(1), np.arange(len(votes)) + count + 1)[parts[lost]]
    torn = lost[rivals[parts[lost]] > 1]
    if len(torn):
        near = _nearest(pixels, sure, torn, kind.shape)
        beside = parts[near] == parts[torn]
        kept[torn[beside]] = kept[near[beside]]
        for part in set(parts[torn[~beside]].tolist()):  # what is nearest is another one's, in a frame of twenty
            own = torn[~beside & (parts[torn] == part)]
            kept[own] = kept[_nearest(pixels, sure & (parts == part), own, kind.shape)]
    return kept


def _parts(kind: npt.NDArray[np.uint8], pixels: Ints, lost: Ints) -> Ints:
    """The number of each pixel's component, (n,); 0 for pixels of kinds of which none is lost."""
    kinds = np.flatnonzero(np.bincount(kind.ravel()[pixels[lost]]))
    return np.asarray(label_kinds(kind, kinds.tolist()).ravel()[pixels], np.int64)


def _nearest(pixels: Ints, seeds: npt.NDArray[np.bool_], asked: Ints, shape: tuple[int, ...]) -> Ints:
    """The nearest pixel that is a seed, by its place among the pixels, of those that are asked for; as many.

    Args:
        pixels: (n,) where the pixels are, ascending, in a map of that shape.
        seeds: (n,) at least one of them.
        asked: places among the pixels, ascending.
        shape: (H', W').
    """
    first, last = (int(pixel) // shape[1] for pixel in pixels[asked[[0, -1]]])
    near, distance = _nearest_between(first - NEARBY, last + NEARBY, pixels, seeds, asked, shape)
    if distance.max() <= NEARBY:  # no seed beyond these rows is nearer
        return near
    return _nearest_between(0, shape[0], pixels, seeds, asked, shape)[0]


def _nearest_between(
    first: int, last: int, pixels: Ints, seeds: npt.NDArray[np.bool_], asked: Ints, shape: tuple[int, ...]
) -> tuple[Ints, Singles]:
    """The nearest seed between two rows, as :func:`_nearest` gives it, and how far it is, both (asked,)."""
    first, last = max(0, first), min(shape[0] - 1, last)
    start, end = first * shape[1], (last + 1) * shape[1]
    begin, stop = np.searchsorted(pixels, (start, end))
    sown = np.flatnonzero(seeds[begin:stop]) + begin
    at = pixels[sown] - start
    other = np.ones((last + 1 - first, shape[1]), np.uint8)
    other.ravel()[at] = 0
    distance, labels = cv2.distanceTransformWithLabels(other, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    numbered = np.zeros(len(sown) + 1, np.int64)  # OpenCV numbers the seeds; it does not say in which order
    numbered[labels.ravel()[at]] = sown
    wanted = pixels[asked] - start
    return numbered[labels.ravel()[wanted]], np.asarray(distance.ravel()[wanted], np.float32)
