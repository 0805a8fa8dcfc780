"""What stands and drives where in the synthetic drive, as a function of seed and time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

SEGMENT = 8.0  #: metres of street that are furnished together
SIGHT = 110.0  #: metres ahead at which things appear
BLOCK = 14  #: segments in one style

STYLES = ("town", "suburb", "country", "highway")


@dataclass(frozen=True)
class Thing:
    """Something to draw.

    Args:
        kind: which drawing (see ``things.py``).
        x, z: metres right of the centre line and ahead of the camera.
        side: -1 for things left of the road, +1 right; which way their road-facing wall looks.
        size: width, height, length in metres.
        colour: BGR.
        variant: 0..1, chooses details.
        id: its own for the whole drive, from 1 on; odd for what stands still.
    """

    kind: str
    x: float
    z: float
    side: int
    size: tuple[float, float, float]
    colour: tuple[float, float, float]
    variant: float
    id: int


@dataclass
class World:
    """The street of one seed."""

    seed: int
    speed: float = field(init=False)
    zoom: float = field(init=False)
    tilt: float = field(init=False)
    lift: float = field(init=False)
    half_road: float = field(init=False)
    lane_x: float = field(init=False)
    keeps_left: bool = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng((self.seed, 0))
        self.speed = float(rng.uniform(7, 16))
        self.zoom = float(rng.uniform(0.75, 1.15))
        self.tilt = float(rng.uniform(0.40, 0.54))
        self.lift = float(rng.uniform(1.2, 1.7))
        self.half_road = float(rng.uniform(3.6, 7.5))
        self.keeps_left = bool(rng.random() < 0.5)
        self.lane_x = (-0.5 if self.keeps_left else 0.5) * self.half_road
        self._bends = [
            (float(rng.uniform(0, 5)), float(rng.uniform(60, 200)), float(rng.uniform(0, 6.3))) for _ in "ab"
        ]
        self._first_style = int(rng.integers(len(STYLES)))
        self._traffic = [self._vehicle(rng) for _ in range(int(rng.integers(3, MOST_TRAFFIC)))]

    def travelled(self, seconds: float) -> float:
        """Metres driven."""
        return self.speed * seconds

    def bend(self, at: float, z: float) -> float:
        """Sideways metres of the centre line ``z`` ahead, seen along its direction at ``at``."""
        total = 0.0
        for amplitude, length, phase in self._bends:
            a, b = at / length + phase, (at + z) / length + phase
            total += amplitude * (math.sin(b) - math.sin(a) - math.cos(a) * z / length)
        return total

    def style(self, k: int) -> str:
        """The style of a segment."""
        block = k // BLOCK
        return STYLES[(self._first_style + int(np.random.default_rng((self.seed, 7, block % 997)).integers(4))) % 4]

    def things(self, seconds: float) -> Iterator[Thing]:
        """Everything in sight, farthest first."""
        at = self.travelled(seconds)
        first = int(at // SEGMENT) - 1
        near = [
            replace(t, z=t.z - at)
            for k in range(first, first + int(SIGHT / SEGMENT) + 2)
            for t in _furnish(self.seed, k, self.half_road, self.style(k))
        ]
        near += self.traffic(seconds)
        yield from sorted((t for t in near if t.z + t.size[2] > 1.8 and t.z < SIGHT), key=lambda t: -t.z)

    def _vehicle(self, rng: np.random.Generator) -> dict[str, float | str | int]:
        return {
            "kind": TRAFFIC[int(rng.integers(len(TRAFFIC)))],
            "oncoming": int(rng.random() < 0.5),
            "speed": float(rng.uniform(0.7, 1.25)),
            "start": float(rng.uniform(0, 120)),
            "hue": float(rng.random()),
            "variant": float(rng.random()),
        }

    def traffic(self, seconds: float) -> list[Thing]:
        """All that moves; one that is left behind comes again ahead, or the other way round, as another thing."""
        return [self._moving(number, spec, seconds) for number, spec in enumerate(self._traffic)]

    def moved(self, start: float, end: float) -> dict[int, float]:
        """How many metres the ground (id 0) and all that moves come nearer in a time; NaN for what is gone then."""
        later = {t.id: t.z for t in self.traffic(end)}
        ground = {0: self.travelled(end) - self.travelled(start)}
        return ground | {t.id: t.z - later.get(t.id, math.nan) for t in self.traffic(start)}

    def _moving(self, number: int, spec: dict[str, float | str | int], seconds: float) -> Thing:
        kind, oncoming = str(spec["kind"]), bool(spec["oncoming"])
        own = self.speed * float(spec["speed"]) * (0.5 if kind == "cyclist" else 1.0)
        relative = -own - self.speed if oncoming else own - self.speed
        lap, place = divmod(float(spec["start"]) + relative * seconds, 100.0)
        z = 6.0 + place
        near_side = -1 if self.keeps_left else 1
        lane = (-near_side if oncoming else near_side) * self.half_road
        x = lane * (0.88 if "cyclist" in kind else 0.5)
        size = VEHICLE_SIZES[kind]
        times = int(2 * lap if lap >= 0 else -2 * lap - 1)
        return Thing(kind, x, z, -1 if oncoming else 1, size, paint(float(spec["hue"])), float(spec["variant"]),
                     2 * (number + MOST_TRAFFIC * times) + 2)  # fmt: skip


VEHICLE_SIZES = {
    "car": (1.8, 1.5, 4.2),
    "van": (2.0, 2.2, 5.0),
    "truck": (2.5, 3.3, 8.0),
    "bus": (2.55, 3.1, 11.0),
    "tram": (2.4, 3.5, 18.0),
    "cyclist": (0.75, 1.8, 0.6),
    "motorcyclist": (0.8, 1.7, 0.8),
}
#: How often each kind drives, and how many vehicles there are at most.
TRAFFIC = (
    *["car"] * 5,
    "van",
    "truck",
    "truck",
    "bus",
    "bus",
    "cyclist",
    "cyclist",
    "motorcyclist",
    "motorcyclist",
    "tram",
)
MOST_TRAFFIC = 8

_PAINTS = [
    (35, 35, 38), (60, 60, 60), (120, 120, 118), (190, 190, 190), (235, 235, 235), (40, 30, 150), (30, 30, 200),
    (140, 70, 30), (190, 120, 50), (60, 90, 40), (50, 160, 200), (70, 120, 160), (90, 50, 90),
]  # fmt: skip


def paint(hue: float) -> tuple[float, float, float]:
    """A car paint, BGR, for a number of 0..1."""
    b, g, r = _PAINTS[int(hue * len(_PAINTS)) % len(_PAINTS)]
    return float(b), float(g), float(r)


#: More than the things that can stand in one segment.
MOST_FURNITURE = 32
#: How often a segment's side holds a thing, by style.
_DENSITY = {
    "town": {"building": 0.85, "tree": 0.25, "pole": 0.35, "parked": 0.4, "walker": 0.5, "fence": 0.15},
    "suburb": {"building": 0.4, "tree": 0.6, "pole": 0.3, "parked": 0.3, "walker": 0.3, "fence": 0.5},
    "country": {"building": 0.06, "tree": 0.7, "pole": 0.2, "parked": 0.03, "walker": 0.08, "fence": 0.4},
    "highway": {"building": 0.03, "tree": 0.45, "pole": 0.2, "parked": 0.0, "walker": 0.02, "fence": 0.75},
}


@lru_cache(maxsize=512)
def _furnish(seed: int, k: int, half_road: float, style: str) -> tuple[Thing, ...]:
    """The things that stand in one segment, with z counted from the start of the drive."""
    rng = np.random.default_rng((seed, 3, k + 10))
    density = _DENSITY[style]
    z0 = k * SEGMENT
    out: list[Thing] = []
    for side in (-1, 1):
        edge = side * (half_road + 0.3)
        walk = side * (half_road + rng.uniform(0.8, 2.0))

        def put(kind: str, x: float, size: tuple[float, float, float], colour: tuple[float, ...], side: int = side,
                dz: float = 0.0) -> None:  # fmt: skip
            b, g, r = colour
            number = 2 * ((k + 10) * MOST_FURNITURE + len(out)) + 1
            out.append(Thing(kind, float(x), z0 + dz, side, size, (b, g, r), float(rng.random()), number))

        if rng.random() < density["building"]:
            depth = float(rng.uniform(3.2, 6))
            tone, tint = rng.uniform(70, 200), rng.uniform(-30, 30, 3)
            put("building", side * (half_road + depth), (8.0, float(rng.uniform(5, 16)), SEGMENT),
                tuple(np.clip(tone + tint, 30, 235)))  # fmt: skip
        if rng.random() < density["fence"]:
            tone = rng.uniform(50, 190)
            put("fence", side * (half_road + 2.6), (0.1, float(rng.uniform(0.9, 1.8)), SEGMENT),
                (tone * 0.9, tone, tone * rng.uniform(0.9, 1.15)))  # fmt: skip
        for _ in range(2):
            if rng.random() < density["tree"] / 1.5:
                green = rng.uniform(50, 130)
                put("tree", side * (half_road + rng.uniform(3.2, 9)),
                    (float(rng.uniform(2.5, 5)), float(rng.uniform(3, 9)), 0.5),
                    (green * rng.uniform(0.3, 0.6), green, green * rng.uniform(0.55, 1.05)),
                    dz=float(rng.uniform(0, SEGMENT)))  # fmt: skip
        if rng.random() < density["pole"]:
            tone = rng.uniform(80, 180)
            put("sign" if rng.random() < 0.6 else "lamp", edge + side * 0.5, (0.36, float(rng.uniform(2.8, 6)), 0.3),
                (tone, tone, tone), dz=float(rng.uniform(0, SEGMENT)))  # fmt: skip
        if rng.random() < density["parked"]:
            put("car", side * (half_road - 1.0), VEHICLE_SIZES["car"], paint(rng.random()), side=1 if side > 0 else -1)
        if rng.random() < density["walker"]:
            put("walker", walk, (0.62, float(rng.uniform(1.5, 1.9)), 0.3), paint(rng.random()),
                dz=float(rng.uniform(0, SEGMENT)))  # fmt: skip
    return tuple(out)
