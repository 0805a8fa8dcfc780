"""The best and the worst pictures of an evaluation, kept while it runs, as small pictures beside each other."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from drivenet.evaluation import Scored
from drivenet.frame import Image
from drivenet.palette_png import encode_palette_png
from drivenet.prepare import prepare, resize_ids

#: How many of the best and of the worst are kept.
KEPT = 10
WIDTH = 480
_RIGHT, _WRONG, _UNKNOWN = 0, 1, 2
_ERROR_COLOURS = {_RIGHT: (236, 240, 238), _WRONG: (204, 24, 60), _UNKNOWN: (120, 124, 130)}


@dataclass(frozen=True)
class Shown:
    """One picture: JPEG and three PNGs, with its mean IoU of 0..1."""

    name: str
    miou: float
    picture: bytes
    truth: bytes
    predicted: bytes
    errors: bytes


@dataclass
class Gallery:
    """Give :meth:`visit` to ``evaluate``; afterwards :meth:`best` and :meth:`worst` hold what to show.

    Pictures without truth are left out. Memory stays bounded: no more than 2 * :data:`KEPT` are held.
    """

    shown: list[Shown] = field(default_factory=list)

    def visit(self, scored: Scored) -> None:
        """Keep a picture if it is among the best or worst so far."""
        if math.isnan(scored.miou):
            return
        at = bisect.bisect([s.miou for s in self.shown], scored.miou)
        full = len(self.shown) == 2 * KEPT
        if full and at == KEPT:
            return
        self.shown.insert(at, _show(scored))
        if full:
            del self.shown[KEPT]

    def best(self) -> list[Shown]:
        """The best, best first; with few pictures the better half."""
        return self.shown[len(self.shown) // 2 :][::-1]

    def worst(self) -> list[Shown]:
        """The worst, worst first; none of them is among the best."""
        return self.shown[: len(self.shown) // 2]


def _show(scored: Scored) -> Shown:
    height, width = scored.truth.shape
    size = (max(1, round(height * WIDTH / width)), WIDTH) if width > WIDTH else (height, width)
    truth, predicted = resize_ids(scored.truth, size), resize_ids(scored.predicted, size)
    unknown = truth >= len(scored.labels)
    errors = np.where(unknown, _UNKNOWN, np.where(truth == predicted, _RIGHT, _WRONG)).astype(np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    for value, colour in _ERROR_COLOURS.items():
        palette[value] = colour
    table = scored.labels.rgb_table
    return Shown(
        scored.sample.name,
        scored.miou,
        _jpeg(prepare(scored.sample.image, size)),
        encode_palette_png(truth, table),
        encode_palette_png(predicted, table),
        encode_palette_png(errors, palette),
    )


def _jpeg(image: Image) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
