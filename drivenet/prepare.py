"""The one thing the host does to an image before the engine: resize it, with bars if it keeps its proportions."""

from __future__ import annotations

import math
from fractions import Fraction

import cv2
import numpy as np

from drivenet.classmap import Ids, ThingMaps
from drivenet.frame import Frame, Image
from drivenet.modelspec import ModelSpec

Size = tuple[int, int]
#: Where rows or columns begin and end.
Span = tuple[Fraction, Fraction]
#: A pixel of ids is parted into so many at most, either way, where a bar ends within it.
FINEST = 8


def prepare(picture: Image | Frame, size: tuple[int, int]) -> Image:
    """Resize a picture to the engine's input.

    A frame that its decoder still holds is resized and converted in one go, by the exact mean where it shrinks.

    An image is resized bilinearly; where it shrinks to less than two thirds either way, which would alias thin poles,
    close to the mean over the area of each new pixel: pairs of pixels are averaged while there are three for one;
    between three and two for one a binomial filter goes before the bilinear samples; below, the mean is taken of two
    bilinear samples either way. That is within 0.5 % of OpenCV's exact area on average, in a fifth to a half of its
    time. Colour order and range stay: normalisation lives in the graph.

    Args:
        picture: (H, W, 3) uint8 BGR, or a frame.
        size: (height, width) of the engine's input.

    Returns:
        (height, width, 3) uint8 BGR, C-contiguous; the same object if the size already fits.
    """
    if isinstance(picture, Frame) and picture.decoded is not None and picture.size != size:
        return picture.decoded.resized(size)
    image = picture.image if isinstance(picture, Frame) else picture
    (h, w), (to_h, to_w) = image.shape[:2], size
    if (h, w) == (to_h, to_w):
        return image
    shrinks = to_h * 3 < h * 2 or to_w * 3 < w * 2
    if not (shrinks and to_h <= h and to_w <= w):
        return _resized(image, size, cv2.INTER_LINEAR)
    return _mean(image, size)


def prepare_for(picture: Image | Frame, spec: ModelSpec) -> Image:
    """The input that a model takes of a picture: resized, with grey bars if its spec says ``letterbox``.

    Args:
        picture: (H, W, 3) uint8 BGR, or a frame.
        spec: of the engine.

    Returns:
        (height, width, 3) uint8 BGR of ``spec.input``, C-contiguous.
    """
    if spec.letterbox is None:
        return prepare(picture, spec.input)
    size = picture.size if isinstance(picture, Frame) else (picture.shape[0], picture.shape[1])
    top, left, height, width = _window(size, spec.input)
    out = np.full((*spec.input, 3), spec.letterbox, np.uint8)
    out[top : top + height, left : left + width] = prepare(picture, (height, width))
    return out


def crop_bars(ids: Ids, spec: ModelSpec, size: Size) -> Ids:
    """The part of an engine's ids that belongs to the image: all of it unless the spec says ``letterbox``.

    Args:
        ids: (..., h, w) of any resolution, as the engine gives them; confidences are cropped alike.
        spec: of the engine.
        size: (height, width) of the image that went through :func:`prepare_for`.

    Returns:
        (..., H', W') uint8, C-contiguous; finer than given where a bar ends within a pixel of the ids.
    """
    if spec.letterbox is None:
        return ids
    rows, columns = _spans(spec, size, ids.shape[-2:])
    ids = _part(_part(ids.swapaxes(-1, -2), columns).swapaxes(-1, -2), rows)
    return np.ascontiguousarray(ids)


def _part(ids: Ids, rows: Span) -> Ids:
    """Some rows of ids (..., h, w); each is there several times where one of the ends lies within it."""
    finer = math.lcm(rows[0].denominator, rows[1].denominator)
    start, stop = (int(end * finer) for end in rows)
    return (ids if finer == 1 else ids.repeat(finer, -2))[..., start:stop, :]


def crop_maps(maps: ThingMaps, spec: ModelSpec, size: Size) -> ThingMaps:
    """The part of an engine's maps of things that belongs to the image, and what of it :func:`crop_bars` leaves of ids.

    Args:
        maps: as the engine gives them.
        spec, size: as of :func:`crop_bars`.
    """
    if spec.letterbox is None:
        return maps
    grid = zip(_spans(spec, size, spec.output), maps.centres.shape, spec.output, strict=True)
    rows, columns = [(start * cells / pixels, stop * cells / pixels) for (start, stop), cells, pixels in grid]
    part = tuple(slice(math.floor(start), math.ceil(stop)) for start, stop in (rows, columns))
    centres, offsets = (np.ascontiguousarray(m[..., part[0], part[1]]) for m in (maps.centres, maps.offsets))
    if all(end.denominator == 1 for end in (*rows, *columns)):
        return ThingMaps(centres, offsets)
    window = rows[0] % 1, columns[0] % 1, rows[1] - rows[0], columns[1] - columns[0]
    top, left, height, width = map(float, window)
    return ThingMaps(centres, offsets, (top, left, height, width))


def _spans(spec: ModelSpec, size: Size, grid: tuple[int, ...]) -> list[Span]:
    """Where the image begins and ends in the rows and in the columns of another resolution.

    Ends that lie on no :data:`FINEST` part of a pixel are rounded, to at least one pixel.
    """
    top, left, height, width = _window(size, spec.input)
    found = []
    for first, length, cells, side in zip((top, left), (height, width), grid, spec.input, strict=True):
        start, stop = Fraction(first * cells, side), Fraction((first + length) * cells, side)
        if math.lcm(start.denominator, stop.denominator) > FINEST:
            start = Fraction(round(start))
            stop = max(start + 1, Fraction(round(stop)))
        found.append((start, stop))
    return found


def _window(size: Size, into: Size) -> tuple[int, int, int, int]:
    """Top, left, height and width of an image centred in an input with its proportions kept."""
    factor = min(into[0] / size[0], into[1] / size[1])
    height, width = (min(to, max(1, round(side * factor))) for side, to in zip(size, into, strict=True))
    return (into[0] - height) // 2, (into[1] - width) // 2, height, width


def smooth_ids(ids: Ids, size: tuple[int, int]) -> Ids:
    """Class ids at a larger size with smooth outlines, for people to look at; figures and masks use :func:`resize_ids`.

    Doubled as long as that fits by Scale2x (Mazzoleni 2001), which rounds stairs off and invents no class; single
    pixels and thin lines stay.

    Args:
        ids: (H, W) uint8.
        size: (height, width) wanted.
    """
    while 2 * ids.shape[0] <= size[0] and 2 * ids.shape[1] <= size[1]:
        ids = _doubled(ids)
    return resize_ids(ids, size)


def _doubled(ids: Ids) -> Ids:
    height, width = ids.shape
    around = np.asarray(cv2.copyMakeBorder(ids, 1, 1, 1, 1, cv2.BORDER_REPLICATE), np.uint8)
    up, down, left, right = around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]
    differ = cv2.compare(up, down, cv2.CMP_NE), cv2.compare(left, right, cv2.CMP_NE)
    corner = np.asarray(cv2.bitwise_and(*differ), np.uint8)
    out = np.empty((height, 2, 2 * width), np.uint8)
    for row, beside_y in enumerate((up, down)):
        halves = [_where_equal(ids, beside_y, beside_x, corner) for beside_x in (left, right)]
        out[:, row] = cv2.merge(halves).reshape(height, 2 * width)
    return out.reshape(2 * height, 2 * width)


def _where_equal(ids: Ids, beside_y: Ids, beside_x: Ids, corner: Ids) -> Ids:
    """The ids, but where two neighbours at a corner agree, theirs."""
    same = cv2.bitwise_and(cv2.compare(beside_y, beside_x, cv2.CMP_EQ), corner)
    return np.asarray(cv2.copyTo(beside_x, same, ids.copy()), np.uint8)


def resize_ids(ids: Ids, size: tuple[int, int]) -> Ids:
    """Resize class ids by nearest neighbour with aligned pixel centres.

    Args:
        ids: (H, W) uint8.
        size: (height, width) wanted.
    """
    if ids.shape == size:
        return ids
    return np.asarray(cv2.resize(ids, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _mean(image: Image, size: tuple[int, int]) -> Image:
    """Shrink by about the mean over areas. OpenCV is slow at the exact one but for pairs of pixels."""
    (h, w), (to_h, to_w) = image.shape[:2], size
    while h >= 3 * to_h and w >= 3 * to_w and h % 2 == w % 2 == 0:
        h, w = h // 2, w // 2
        image = _resized(image, (h, w), cv2.INTER_AREA)
    if h > 2 * to_h and w > 2 * to_w:
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0, borderType=cv2.BORDER_REPLICATE), np.uint8)
        return _resized(image, size, cv2.INTER_LINEAR)
    samples = to_h * max(1, round(h / to_h)), to_w * max(1, round(w / to_w))
    return _resized(_resized(image, samples, cv2.INTER_LINEAR), size, cv2.INTER_AREA)


def _resized(image: Image, size: tuple[int, int], how: int) -> Image:
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=how), np.uint8)
