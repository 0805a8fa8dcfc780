"""Picture and class ids that are always drawn together, so that the ids are exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from drivenet.classmap import Ids
from drivenet.frame import Image

Bgr = tuple[float, float, float]
Point = tuple[int, int]

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)


@dataclass
class Canvas:
    """``image`` (H, W, 3) uint8 BGR as seen in neutral light, ``ids`` (H, W) uint8; both start as sky.

    ``fog`` is the share of an object's own colour that is lost per metre.
    """

    image: Image
    ids: Ids
    fog: float

    @classmethod
    def blank(cls, width: int, height: int, fog: float) -> Canvas:
        """All sky."""
        image = np.full((height, width, 3), 200, np.uint8)
        return cls(image, np.full((height, width), SKY, np.uint8), fog)

    def faded(self, colour: Bgr, z: float) -> tuple[float, float, float]:
        """A colour as it looks from ``z`` metres away."""
        keep = float(np.exp(-self.fog * z))
        b, g, r = (c * keep + 190.0 * (1 - keep) for c in colour)
        return b, g, r

    def polygon(self, points: Sequence[Point], colour: Bgr, cls: int | None, z: float) -> None:
        """Fill a polygon; with ``cls`` None only the picture changes (a detail of what lies below)."""
        corners = np.array(points, np.int32)
        cv2.fillPoly(self.image, [corners], self.faded(colour, z))
        if cls is not None:
            cv2.fillPoly(self.ids, [corners], cls)

    def box(self, low: Point, high: Point, colour: Bgr, cls: int | None, z: float) -> None:
        """Fill an upright rectangle given by two opposite corners; at least a pixel wide and high."""
        (x0, y0), (x1, y1) = low, high
        x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        height, width = self.ids.shape
        if x1 < 0 or y1 < 0 or x0 >= width or y0 >= height:
            return
        window = np.s_[max(y0, 0) : min(y1 + 1, height), max(x0, 0) : min(x1 + 1, width)]
        self.image[window] = np.array(self.faded(colour, z)).astype(np.uint8)
        if cls is not None:
            self.ids[window] = cls

    def disc(self, centre: Point, radii: tuple[float, float], colour: Bgr, cls: int | None, z: float) -> None:
        """Fill an ellipse."""
        axes = (max(1, round(radii[0])), max(1, round(radii[1])))
        cv2.ellipse(self.image, centre, axes, 0, 0, 360, self.faded(colour, z), -1)
        if cls is not None:
            cv2.ellipse(self.ids, centre, axes, 0, 0, 360, cls, -1)
