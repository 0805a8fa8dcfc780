"""Zones and lines of a camera's picture, from a YAML file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from drivenet.config import Settings, load_yaml
from drivenet.config_texts import Text
from drivenet.errors import ConfigError

Point = tuple[float, float]


class ZoneSettings(Settings):
    """Zones and lines in a YAML file."""

    class Zone(Settings):
        """A polygon."""

        name: Text = Field(description="The zone, as the stats file calls it.")
        polygon: Annotated[tuple[Point, ...], Field(min_length=3)] = Field(
            description="Corners, x and y from the upper left: 0 to 1 of the frame, or pixels where there is a size."
        )

    class Line(Settings):
        """A line that things cross."""

        name: Text = Field(description="The line, as the stats file calls it.")
        points: tuple[Point, Point] = Field(description="Its two ends, as for a polygon.")

    size: tuple[PositiveInt, PositiveInt] | None = Field(
        None, description="Width and height of the picture that pixels are of."
    )
    zones: tuple[Zone, ...] = Field((), description="Polygons; they may overlap.")
    lines: tuple[Line, ...] = Field((), description="Lines; things with ids are counted that cross them.")


@dataclass(frozen=True)
class Zones:
    """Zones and lines by name, in fractions of the frame.

    Args:
        polygons: corners of each zone.
        lines: both ends of each line.
    """

    polygons: dict[str, tuple[Point, ...]] = field(default_factory=dict)
    lines: dict[str, tuple[Point, Point]] = field(default_factory=dict)


def _is_flat(corners: tuple[Point, ...]) -> bool:
    """Whether all corners lie on one line, so that there is nothing between them."""
    (ax, ay) = corners[0]
    (bx, by) = max(corners, key=lambda corner: math.dist(corner, corners[0]))
    return all(abs((bx - ax) * (y - ay) - (by - ay) * (x - ax)) < 1e-12 for x, y in corners)


def load_zones(path: Path) -> Zones:
    """Zones from a YAML file; ConfigError for one that is not right.

    A name stands for one zone or line, and every point lies in the picture.
    """
    read = load_yaml(path, ZoneSettings)
    width, height = read.size or (1, 1)
    names = [zone.name for zone in read.zones] + [line.name for line in read.lines]
    if not names:
        raise ConfigError(f"{path} holds neither zones nor lines", "at least one")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"{path} names {twice!r} twice", "a name for each zone and line")
    if flat := next((zone.name for zone in read.zones if _is_flat(zone.polygon)), None):
        raise ConfigError(f"{path}: the corners of {flat} lie on one line", "a polygon with an area")
    if point := next((line.name for line in read.lines if line.points[0] == line.points[1]), None):
        raise ConfigError(f"{path}: the ends of {point} are one point", "two points")
    for name, points in [(z.name, z.polygon) for z in read.zones] + [(n.name, n.points) for n in read.lines]:
        if not all(0 <= x <= width and 0 <= y <= height for x, y in points):
            cure = "" if read.size else "for pixels, add size: [WIDTH, HEIGHT]"
            raise ConfigError(f"{path}: {name} leaves the picture", f"x of 0 to {width}, y of 0 to {height}", cure)

    def scaled(point: Point) -> Point:
        return point[0] / width, point[1] / height

    polygons = {zone.name: tuple(map(scaled, zone.polygon)) for zone in read.zones}
    return Zones(polygons, {n.name: (scaled(n.points[0]), scaled(n.points[1])) for n in read.lines})
