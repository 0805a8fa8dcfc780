"""Image and surfaces of the synthetic drive that are always drawn together, so that the truth is exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.frame import Image
from drivenet.synthetic.world import Thing

Bgr = tuple[float, float, float]
Point = tuple[int, int]
#: Thing ids, (H, W) int32; 0 where no countable thing is.
Instances = npt.NDArray[np.int32]

#: Cityscapes' train ids.
(ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN, VEGETATION, TERRAIN, SKY, PERSON, RIDER,
 CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE) = range(19)  # fmt: skip

#: Classes whose members get ids.
COUNTABLE = frozenset({TRAFFIC_LIGHT, TRAFFIC_SIGN, PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE})


@dataclass(frozen=True)
class Surface:
    """What a pixel shows: a plane in space with a class.

    Args:
        cls: train id.
        thing: id of the countable thing that it belongs to, 0 for none.
        body: id of the :class:`~drivenet.synthetic.world.Thing` that it moves with, 0 for the ground.
        corners: pixels with known depth; none for what is infinitely far.
        inverse_depths: 1 / metres of each corner; one number for a plane that faces the camera.
    """

    cls: int
    thing: int = 0
    body: int = 0
    corners: tuple[tuple[float, float], ...] = ()
    inverse_depths: tuple[float, ...] = (0.0,)

    def plane(self) -> tuple[float, float, float]:
        """a, b, c of 1 / z = a u + b v + c: the inverse depth of a plane is linear in the image."""
        if len(set(self.inverse_depths)) == 1:
            return 0.0, 0.0, self.inverse_depths[0]
        matrix = np.array([(u, v, 1.0) for u, v in self.corners])
        a, b, c = np.linalg.lstsq(matrix, np.array(self.inverse_depths), rcond=None)[0]
        return float(a), float(b), float(c)


@dataclass
class Canvas:
    """``image`` (H, W, 3) uint8 BGR as seen in neutral light, ``keys`` (H, W) uint16 into ``surfaces``.

    Both start as sky. ``fog`` is the fraction of an object's own colour that is lost per metre.
    """

    image: Image
    keys: npt.NDArray[np.uint16]
    fog: float
    surfaces: list[Surface] = field(default_factory=lambda: [Surface(SKY)])
    _body: int = 0

    @classmethod
    def blank(cls, width: int, height: int, fog: float) -> Canvas:
        """All sky, whose key is 0."""
        image = np.full((height, width, 3), 200, np.uint8)
        return cls(image, np.zeros((height, width), np.uint16), fog)

    def ids(self) -> Ids:
        """(H, W) uint8 train ids."""
        return np.asarray(np.array([s.cls for s in self.surfaces], np.uint8)[self.keys])

    def instances(self) -> Instances:
        """(H, W) int32 thing ids."""
        return np.asarray(np.array([s.thing for s in self.surfaces], np.int32)[self.keys])

    def begin(self, thing: Thing) -> None:
        """What is drawn from now on belongs to a thing."""
        self._body = thing.id

    def faded(self, colour: Bgr, z: float) -> tuple[float, float, float]:
        """A colour as it looks from ``z`` metres away."""
        keep = float(np.exp(-self.fog * z))
        b, g, r = (c * keep + 190.0 * (1 - keep) for c in colour)
        return b, g, r

    def surface(self, surface: Surface) -> int:
        """The key of a new surface."""
        self.surfaces.append(surface)
        return len(self.surfaces) - 1

    def _facing(self, cls: int, z: float) -> int:
        return self.surface(Surface(cls, self._thing(cls), self._body, (), (1 / z,)))

    def _thing(self, cls: int) -> int:
        """The id of a countable part: a rider and what is ridden are two things."""
        return 2 * self._body + (cls == RIDER) if cls in COUNTABLE else 0

    def polygon(
        self, points: Sequence[Point], colour: Bgr, cls: int | None, z: float, depths: Sequence[float] | None = None
    ) -> None:
        """Fill a polygon; with ``cls`` None only the image changes (a detail of the surface below).

        Args:
            points: corners in pixels.
            colour: near the camera.
            cls: train id.
            z: distance in metres at which the colour is seen.
            depths: of each corner in metres; without, all are at ``z``.
        """
        corners = np.array(points, np.int32)
        cv2.fillPoly(self.image, [corners], self.faded(colour, z))
        if cls is None:
            return
        if depths is None:
            key = self._facing(cls, z)
        else:
            inverse = tuple(1 / d for d in depths)
            key = self.surface(Surface(cls, self._thing(cls), self._body, tuple(points), inverse))
        cv2.fillPoly(self.keys, [corners], key)

    def box(self, low: Point, high: Point, colour: Bgr, cls: int | None, z: float) -> None:
        """Fill an upright rectangle given by two opposite corners; at least a pixel wide and high."""
        (x0, y0), (x1, y1) = low, high
        x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        height, width = self.keys.shape
        if x1 < 0 or y1 < 0 or x0 >= width or y0 >= height:
            return
        window = np.s_[max(y0, 0) : min(y1 + 1, height), max(x0, 0) : min(x1 + 1, width)]
        self.image[window] = np.array(self.faded(colour, z)).astype(np.uint8)
        if cls is not None:
            self.keys[window] = self._facing(cls, z)

    def disc(self, centre: Point, radii: tuple[float, float], colour: Bgr, cls: int | None, z: float) -> None:
        """Fill an ellipse."""
        axes = (max(1, round(radii[0])), max(1, round(radii[1])))
        cv2.ellipse(self.image, centre, axes, 0, 0, 360, self.faded(colour, z), -1)
        if cls is not None:
            cv2.ellipse(self.keys, centre, axes, 0, 0, 360, self._facing(cls, z), -1)
