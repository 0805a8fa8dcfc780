"""What is in each zone of the picture, and which things cross each line."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.labels import COUNTABLE_GROUPS, LabelSet
from drivenet.record import Record
from drivenet.stages.base import Stage
from drivenet.things import Thing
from drivenet.zones import Point, Zones

#: A thing that was not seen for so many frames has left.
_FORGOTTEN = 100


@dataclass(frozen=True)
class Counted:
    """A layer of figures, by the name of a zone or a line."""

    figures: dict[str, object]

    def to_dict(self) -> dict[str, object]:
        """For the stats file."""
        return self.figures


class CountZones(Stage):
    """Adds the layers ``zones`` and ``lines``.

    Things are in a zone where the middle of the lower edge of their box is. Those with ids cross a line forward from
    its left to its right, as seen from its first point to its second.

    Args:
        zones: where.
        labels: what the ids mean.
    """

    name = "zones"

    def __init__(self, zones: Zones, labels: LabelSet) -> None:
        self._zones, self._labels = zones, labels
        self._masks: dict[tuple[str, tuple[int, int]], npt.NDArray[np.bool_]] = {}
        self._feet: dict[int, tuple[Point, int]] = {}
        self._crossed = {name: {g: {"forward": 0, "backward": 0} for g in COUNTABLE_GROUPS} for name in zones.lines}
        self._frames = 0

    def reset(self) -> None:
        """Forget where things were; what has crossed stays counted."""
        self._feet.clear()

    def __call__(self, record: Record) -> Record:
        """Count one frame."""
        things, size = record.scene.things, record.frame.size
        feet = [_foot(thing, size) for thing in things]
        self._follow(things, feet)
        layers: dict[str, Counted] = {}
        if self._zones.polygons:
            ids = record.classmap.ids
            layers["zones"] = Counted({name: self._zone(name, ids, things, feet) for name in self._zones.polygons})
        if self._zones.lines:
            layers["lines"] = Counted({n: {g: dict(way) for g, way in by.items()} for n, by in self._crossed.items()})
        return record.with_layers(**layers)

    def _zone(self, name: str, ids: Ids, things: tuple[Thing, ...], feet: list[Point]) -> dict[str, object]:
        mask = self._mask(name, (ids.shape[0], ids.shape[1]))
        counts, inside = np.bincount(ids[mask], minlength=256), int(mask.sum())
        corners = np.array(self._zones.polygons[name], np.float32)
        within = [cv2.pointPolygonTest(corners, foot, False) >= 0 for foot in feet]
        counted = [thing.group for thing, is_in in zip(things, within, strict=True) if is_in]
        return {
            "fraction": round(inside / ids.size, 5),
            "classes": {c: round(counts[i] / inside, 5) for i, c in enumerate(self._labels.classes) if counts[i]},
            "counts": {group: counted.count(group) for group in COUNTABLE_GROUPS},
        }

    def _mask(self, name: str, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        if (name, size) not in self._masks:
            height, width = size
            corners = np.array(self._zones.polygons[name]) * (width, height) - 0.5
            drawn = np.zeros(size, np.uint8)
            cv2.fillPoly(drawn, [np.round(corners).astype(np.int32)], 1)
            self._masks[name, size] = drawn.astype(bool)
        return self._masks[name, size]

    def _follow(self, things: tuple[Thing, ...], feet: list[Point]) -> None:
        self._frames += 1
        for thing, foot in zip(things, feet, strict=True):
            if not thing.id:
                continue
            before = self._feet.get(thing.id)
            for name, line in self._zones.lines.items():
                if before and (side := _crossing(line, before[0], foot)):
                    self._crossed[name][thing.group]["forward" if side > 0 else "backward"] += 1
            self._feet[thing.id] = foot, self._frames
        if self._frames % _FORGOTTEN == 0:
            self._feet = {i: seen for i, seen in self._feet.items() if self._frames - seen[1] < _FORGOTTEN}


def _foot(thing: Thing, frame_size: tuple[int, int]) -> Point:
    """Where a thing stands: the middle of the lower edge of its box, in fractions of the frame."""
    x, y, w, h = thing.box
    return (x + w / 2) / frame_size[1], (y + h) / frame_size[0]


def _crossing(line: tuple[Point, Point], start: Point, end: Point) -> int:
    """1 if a step crosses a line from its left to its right, -1 for the other way, 0 for not."""
    from_left, to_left = _side(line, start), _side(line, end)
    apart = _side((start, end), line[0]) * _side((start, end), line[1])
    if from_left * to_left >= 0 and not (from_left and not to_left):
        return 0
    return 0 if apart > 0 else 1 if from_left > 0 else -1


def _side(line: tuple[Point, Point], point: Point) -> float:
    """Above 0 where a point lies left of a line, as seen from its first end, with y downwards."""
    (ax, ay), (bx, by) = line
    return (by - ay) * (point[0] - ax) - (bx - ax) * (point[1] - ay)
