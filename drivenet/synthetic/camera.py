"""The pinhole camera behind the windscreen of the synthetic drive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivenet.synthetic.world import World

NEAR = 1.5  #: metres; nothing nearer is drawn


@dataclass(frozen=True)
class Camera:
    """Metres to pixels. X is to the right of the road's centre line, Y above the ground, Z ahead of the car.

    Args:
        world: whose centre line bends the view.
        travelled: metres of centre line behind the car.
        focal: in pixels.
        cx, horizon: pixel column of the driving direction, pixel row of the horizon.
        lift: height of the camera above the ground in metres.
    """

    world: World
    travelled: float
    width: int
    height: int
    focal: float
    cx: float
    horizon: float
    lift: float

    @classmethod
    def at(cls, world: World, width: int, height: int, seconds: float) -> Camera:
        """The camera at a time: it nods a little."""
        nod = 0.006 * math.sin(seconds * 2.1 + world.seed % 7) + 0.003 * math.sin(seconds * 7.3)
        return cls(
            world=world,
            travelled=world.travelled(seconds),
            width=width,
            height=height,
            focal=world.zoom * width,
            cx=width / 2,
            horizon=height * (world.tilt + nod),
            lift=world.lift,
        )

    def shift(self, z: float) -> float:
        """Metres to add to an X at distance ``z`` for the road's bend and the car's lane."""
        return self.world.bend(self.travelled, z) - self.world.lane_x

    def pixel(self, x: float, y: float, z: float) -> tuple[int, int]:
        """Column and row of a point; distances below :data:`NEAR` count as it."""
        z = max(z, NEAR)
        u = self.cx + self.focal * (x + self.shift(z)) / z
        v = self.horizon + self.focal * (self.lift - y) / z
        limit = 8 * max(self.width, self.height)
        return round(min(max(u, -limit), limit)), round(min(max(v, -limit), limit))

    def pixels(self, metres: float, z: float) -> float:
        """How many pixels a length has at a distance."""
        return self.focal * metres / max(z, NEAR)
