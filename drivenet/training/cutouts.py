"""Things cut out of pictures: vehicles, two-wheelers and people by their instance ids, signs with their poles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.data.base import Sample
from drivenet.frame import Image
from drivenet.labels import IGNORE_ID
from drivenet.training.recolour import luminance
from drivenet.training.regions import Mask, Regions
from drivenet.training.samples import Pictures

#: The smallest thing that is cut out: pixels, rows, and rows of its foot below the horizon as share of the picture's.
LEAST_PIXELS, LEAST_ROWS, LEAST_DEPTH = 40, 8, 0.03
#: Heights for their distance that are believed, as shares of the median of their kind.
USUAL = (0.6, 1.65)
#: Cutouts kept of each kind.
MOST = 300


@dataclass(frozen=True, eq=False)
class Cutout:
    """A thing on the ground, complete, with nothing before it.

    Args:
        image: (h, w, 3) uint8 BGR.
        ids: (h, w) uint8 codes.
        mask: (h, w) bool, where it is.
        parts: (h, w) uint8, numbers from 1 for its instances (a rider and the bicycle are two), 0 elsewhere.
        code: of most of its pixels.
        depth: rows of its foot below the horizon, as share of the picture's height.
        size: (height, width) of the picture.
        light: mean luminance of the picture.
    """

    image: Image
    ids: Ids
    mask: Mask
    parts: npt.NDArray[np.uint8]
    code: int
    depth: float
    size: tuple[int, int]
    light: float


def horizon_of(pictures: Pictures, regions: Regions) -> float | None:
    """Where the horizon of a camera is, as share of the height: the highest of the rows where roads begin, but a few.

    Traffic hides where a road begins, so one picture alone does not tell.
    """
    found = []
    for i in range(0, len(pictures), max(1, len(pictures) // 200)):
        ids = pictures[i].ids
        row = regions.horizon(ids)
        if row is not None:
            found.append(row / len(ids))
    return float(np.percentile(found, 15)) if found else None


def cut(pictures: Pictures, regions: Regions, codes: set[int], seed: int = 0) -> dict[int, list[Cutout]]:
    """Cutouts by code, at most :data:`MOST` of each: all are as likely to be kept.

    Args:
        pictures: of one source; those with instance ids are read.
        regions: kinds of codes.
        codes: that are wanted.
        seed: of what is kept.
    """
    horizon = horizon_of(pictures, regions)
    rng, seen = np.random.default_rng((seed, 5)), dict.fromkeys(codes, 0)
    kept: dict[int, list[Cutout]] = {}
    if horizon is None:
        return {}
    for sample in pictures:
        for one in _found(sample, regions, codes, horizon):
            some, seen[one.code] = kept.setdefault(one.code, []), seen[one.code] + 1
            if len(some) < MOST:
                some.append(one)
            elif (place := int(rng.integers(seen[one.code]))) < MOST:
                some[place] = one
    usual = {code: _plausible(some) for code, some in kept.items()}
    return {code: some for code, some in usual.items() if some}


def _plausible(some: list[Cutout]) -> list[Cutout]:
    """Those of about the usual height for their distance; others are cut off, or do not stand on the ground."""
    heights = np.array([len(one.mask) / one.size[0] / one.depth for one in some])
    usual = float(np.median(heights))
    return [one for one, height in zip(some, heights, strict=True) if USUAL[0] < height / usual < USUAL[1]]


def _found(sample: Sample, regions: Regions, codes: set[int], horizon: float) -> Iterator[Cutout]:
    if sample.instances is None:
        return
    light = float(luminance(sample.image[::4, ::4].astype(np.float32)).mean())
    for members in (*_things(sample, regions), *_signs(sample, regions)):
        one = _cutout(sample, members, regions, horizon, light)
        if one is not None and one.code in codes:
            yield one


def known(instances: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Instances with -1 where nobody knows which thing it is: 255 in 8-bit ones, -1 in others."""
    numbers = instances.astype(np.int64)
    if instances.dtype == np.uint8:
        numbers[instances == IGNORE_ID] = -1
    return numbers


def _things(sample: Sample, regions: Regions) -> Iterator[Sequence[Mask]]:
    """Masks of each instance; a rider comes with what is ridden."""
    if sample.instances is None:
        return
    instances = known(sample.instances)
    numbers = [int(n) for n in np.unique(instances) if n > 0]
    masks = {n: instances == n for n in numbers}
    ridden: set[int] = set()
    for n in numbers:
        if regions("rider", sample.ids)[masks[n]].mean() < 0.5:
            continue
        near = cv2.dilate(masks[n].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        beside = instances[near & regions("two-wheeler", sample.ids)]
        if (beside > 0).any():
            other = int(np.bincount(beside[beside > 0]).argmax())
            ridden |= {n, other}
            yield masks[n], masks[other]
        else:
            ridden.add(n)  # no rider without a wheel
    yield from ([masks[n]] for n in numbers if n not in ridden)


def _signs(sample: Sample, regions: Regions) -> Iterator[Sequence[Mask]]:
    """Masks of signs and lights, each with the pole under it down to the ground."""
    signs, poles = regions("sign", sample.ids), regions("pole", sample.ids)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(signs.astype(np.uint8))
    for number in range(1, min(count, 12)):
        x, y, w, h, pixels = stats[number]
        strip = np.s_[y + h - 2 :, max(0, x - 1) : x + w + 1]
        _, under, sizes, _ = cv2.connectedComponentsWithStats(poles[strip].astype(np.uint8))
        touching = set(under[:5].ravel().tolist()) - {0}
        if pixels < LEAST_ROWS or not touching:
            continue
        pole = np.zeros_like(poles)
        pole[strip] = under == max(touching, key=lambda n: sizes[n, cv2.CC_STAT_HEIGHT])
        if pole.any(1).sum() >= h:
            yield [pole | (parts == number)]


def _cutout(
    sample: Sample, members: Sequence[Mask], regions: Regions, horizon: float, light: float
) -> Cutout | None:  # fmt: skip
    """None for what is cut by the border, hidden below, or too small or far."""
    whole = np.logical_or.reduce(members)
    rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    h, w = whole.shape
    depth = bottom / h - horizon
    inner = 0 < left and right < w and bottom < h - 3
    large = whole.sum() >= LEAST_PIXELS and bottom - top >= LEAST_ROWS and depth >= LEAST_DEPTH
    middle = slice(left + (right - left) // 4, right - (right - left) // 4)
    below = sample.ids[bottom + 1 : bottom + 3, middle]
    if not (inner and large) or (regions("ground", below) | (below == IGNORE_ID)).mean() < 0.7:
        return None
    box = np.s_[top:bottom, left:right]
    ids, parts = np.where(whole, sample.ids, IGNORE_ID)[box], np.zeros(whole[box].shape, np.uint8)
    named = sample.instances is not None and bool((known(sample.instances)[members[0]] > 0).any())
    for number, member in enumerate(members, 1):
        parts[member[box]] = number * named
    code = int(np.bincount(sample.ids[members[0] & ~regions("pole", sample.ids)], minlength=256).argmax())
    return Cutout(sample.image[box].copy(), ids, whole[box], parts, code, depth, (h, w), light)
