"""Privacy: people and vehicles are unrecognisable before any output has the picture."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.errors import UsageError, nearest
from drivenet.frame import Image
from drivenet.labels import IGNORE_ID, LabelSet
from drivenet.record import Record
from drivenet.stages.base import Stage
from drivenet.stages.choose import LEFT_OUT

Mask = npt.NDArray[np.uint8]

#: What was seen in one of so many frames before is hidden in this one too: a thing that is missed for a moment.
REMEMBERED = 8
#: How far a mask is widened, in a fraction of the picture's width: edges, motion between frames, hair and mirrors.
MARGIN = 0.02
#: Pixels whose engine is less sure than this are hidden, where the engine says how sure it is (0 to 255).
UNSURE = 128
#: A cell of the mosaic is this fraction of the picture's width: a face of 60 pixels in 960 is 3 cells wide.
_CELL = 1 / 48


def ids_of(names: Sequence[str], labels: LabelSet) -> list[int]:
    """The ids of groups and classes; UsageError for a name that is neither."""
    known = [*labels.classes, *sorted(set(labels.groups.values()))]
    for name in names:
        if name not in known:
            raise UsageError(f"--blur {name}", "groups or classes of the model", nearest(name, known))
    return [n for n, cls in enumerate(labels.classes) if cls in names or labels.groups[cls] in names]


class Blur(Stage):
    """Replaces whole things by a mosaic, in the picture itself: no sink, page or recording ever has the clear one.

    Where ids fail it hides more, never less: pixels without a class, or of which the engine is not sure, are hidden;
    so is what was seen there in the last frames; and the whole picture, where there are no ids at all.

    Args:
        names: groups or classes, such as ``pedestrian`` and ``vehicle``.
        labels: the model's.

    Raises:
        UsageError: for a name that is neither.
    """

    name = "blur"
    needs = frozenset({"confidence"})

    def __init__(self, names: Sequence[str], labels: LabelSet) -> None:
        hidden = [*ids_of(names, labels), *range(len(labels), IGNORE_ID + 1)]
        self._table = np.isin(np.arange(256), hidden).astype(np.uint8) * 255
        self._before: deque[Mask] = deque(maxlen=REMEMBERED)

    def reset(self) -> None:
        """Forget what was seen."""
        self._before.clear()

    def __call__(self, record: Record) -> Record:
        """Replace the picture."""
        image = record.frame.image
        try:
            mask = self._mask(_known_ids(record), record.confidence)
        except UsageError:  # no ids
            return record.with_image(mosaic(image))
        return record.with_image(hide(image, mask))

    def _mask(self, ids: Ids, sure: npt.NDArray[np.uint8] | None) -> Mask:
        """What is hidden, (H, W) of the ids, 0 or 255."""
        found = np.asarray(cv2.LUT(ids, self._table), np.uint8)
        if sure is not None and sure.shape == found.shape:
            found[sure < UNSURE] = 255
        seen = found
        for earlier in self._before:
            seen = np.maximum(seen, _resized(earlier, found))
        self._before.append(found)
        return widened(seen)


def _known_ids(record: Record) -> Ids:
    """The class ids, those of classes that were not chosen included."""
    ids, left_out = record.classmap.ids, record.layers.get(LEFT_OUT)
    return ids if left_out is None else np.where(ids == IGNORE_ID, left_out, ids)


def _resized(mask: Mask, like: Mask) -> Mask:
    """A mask at the size of another one: an engine with another input may serve by now. No pixel of it is lost."""
    if mask.shape == like.shape:
        return mask
    large = cv2.resize(mask, (like.shape[1], like.shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.threshold(large, 0, 255, cv2.THRESH_BINARY)[1], np.uint8)


def widened(mask: Mask) -> Mask:
    """A mask with a margin around it."""
    radius = max(1, round(MARGIN * mask.shape[1]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask, kernel), np.uint8)


def hide(image: Image, mask: Mask) -> Image:
    """A picture (H, W, 3) whose masked pixels are those of its mosaic; the mask has any size."""
    if not mask.any():
        return image
    size = image.shape[1], image.shape[0]
    # bilinear, and all that is not zero: half a pixel of the mask more on every side
    large = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)
    hidden = image.copy()
    cv2.copyTo(mosaic(image), large, hidden)
    return np.asarray(hidden, np.uint8)


def mosaic(image: Image) -> Image:
    """The whole picture in cells of one colour each: their mean."""
    height, width = image.shape[:2]
    cell = max(2, round(_CELL * width))
    small = cv2.resize(image, (max(1, width // cell), max(1, height // cell)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
