"""What was found in one class map: how much of each class, and the countable things with their boxes."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from drivenet.classmap import ClassMap, Ids
from drivenet.labels import COUNTABLE_GROUPS, GROUPS, LabelSet

#: A region smaller than this share of the picture is noise.
MIN_AREA = 0.0004


@dataclass(frozen=True)
class Region:
    """One connected thing of a countable group.

    Things of one group that touch in the picture are one region.

    Args:
        cls: the class most of its pixels have.
        box: x, y, width, height in source-frame pixels.
        area: share of the frame, 0..1.
        centroid: x, y in source-frame pixels.
    """

    cls: str
    box: tuple[int, int, int, int]
    area: float
    centroid: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """Fractions are shares of the frame, 0..1; classes and groups that are absent are absent here too.

    Args:
        index: the frame's index.
        classes: fraction by class name.
        groups: fraction by group name.
        regions: by countable group, largest first.
    """

    index: int
    classes: dict[str, float]
    groups: dict[str, float]
    regions: dict[str, list[Region]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """The ``classes`` and ``groups`` members of a stats line: the classes present, and always every group."""
        groups: dict[str, object] = {}
        for group in GROUPS:
            entry: dict[str, object] = {"fraction": round(self.groups.get(group, 0.0), 5)}
            if group in COUNTABLE_GROUPS:
                entry["regions"] = [
                    {"class": r.cls, "box": list(r.box), "area": round(r.area, 5)} for r in self.regions.get(group, [])
                ]
            groups[group] = entry
        return {"classes": {c: round(f, 5) for c, f in self.classes.items()}, "groups": groups}


def analyse(classmap: ClassMap, labels: LabelSet, frame_size: tuple[int, int], min_area: float = MIN_AREA) -> Scene:
    """Describe a class map.

    Args:
        classmap: the ids, at any size.
        labels: what the ids mean.
        frame_size: (height, width) of the source frame, the unit of boxes.
        min_area: regions below this share of the picture are left out (0 keeps all).
    """
    ids = classmap.ids
    counts = np.bincount(ids.ravel(), minlength=256)
    share = counts / ids.size
    classes = {c: float(share[i]) for i, c in enumerate(labels.classes) if counts[i]}
    groups: dict[str, float] = {}
    for group in GROUPS:
        fraction = float(sum(share[i] for i in labels.ids_of_group(group)))
        if fraction:
            groups[group] = fraction
    regions = {
        group: _regions(ids, group, labels, frame_size, min_area)
        for group in COUNTABLE_GROUPS
        if group in groups and groups[group] >= min_area
    }
    return Scene(classmap.index, classes, groups, regions)


def _regions(ids: Ids, group: str, labels: LabelSet, frame_size: tuple[int, int], min_area: float) -> list[Region]:
    """Eight-connected components of a group's mask, largest first."""
    mask = cv2.LUT(ids, (labels.group_table == GROUPS.index(group)).astype(np.uint8))
    left, top, width, height = cv2.boundingRect(mask)  # labelling takes half a millisecond a 512x256 map
    part = np.s_[top : top + height, left : left + width]
    _, components, stats, centroids = cv2.connectedComponentsWithStats(mask[part], connectivity=8)
    big = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= min_area * ids.size)
    found = []
    for i in big[big > 0]:  # component 0 is what does not belong to the group
        x, y, w, h, area = (int(v) for v in stats[i])
        window = np.s_[y : y + h, x : x + w]
        votes = np.bincount(ids[part][window][components[window] == i], minlength=len(labels))
        centroid = (left + centroids[i][0], top + centroids[i][1])
        box, centre = _in_frame((left + x, top + y, w, h), centroid, ids.shape, frame_size)
        found.append(Region(labels.classes[int(votes.argmax())], box, area / ids.size, centre))
    return sorted(found, key=lambda r: -r.area)


def _in_frame(
    box: tuple[int, int, int, int], centroid: tuple[float, float], of: tuple[int, ...], frame: tuple[int, int]
) -> tuple[tuple[int, int, int, int], tuple[float, float]]:
    """A box (at least one pixel wide and high) and a centroid of an id map, in pixels of the frame."""
    x, y, w, h = box
    sy, sx = frame[0] / of[0], frame[1] / of[1]
    x0, y0 = min(round(x * sx), frame[1] - 1), min(round(y * sy), frame[0] - 1)
    x1, y1 = max(x0 + 1, round((x + w) * sx)), max(y0 + 1, round((y + h) * sy))
    cx, cy = centroid
    # + 0.5: OpenCV gives pixel centres, boxes are edges
    return (x0, y0, x1 - x0, y1 - y0), (round(float(cx + 0.5) * sx, 1), round(float(cy + 0.5) * sy, 1))
