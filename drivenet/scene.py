"""What was found in one class map: how much of each class, and the countable things with their boxes."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from drivenet.classmap import ClassMap
from drivenet.labels import COUNTABLE_GROUPS, GROUPS, LabelSet

#: A region smaller than this share of the picture is noise.
MIN_AREA = 0.0004


@dataclass(frozen=True)
class Region:
    """One connected thing of a countable group.

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
        """The ``classes`` and ``groups`` members of a stats line."""
        groups: dict[str, object] = {}
        for group, fraction in self.groups.items():
            entry: dict[str, object] = {"fraction": round(fraction, 5)}
            if group in COUNTABLE_GROUPS:
                entry["regions"] = [
                    {"class": r.cls, "box": list(r.box), "area": round(r.area, 5)} for r in self.regions.get(group, [])
                ]
            groups[group] = entry
        return {"classes": {c: round(f, 5) for c, f in self.classes.items()}, "groups": groups}


def analyse(
    classmap: ClassMap, labels: LabelSet, frame_size: tuple[int, int], min_area: float = MIN_AREA
) -> Scene:
    """Describe a class map.

    Args:
        classmap: the ids, at any size.
        labels: what the ids mean.
        frame_size: (height, width) of the source frame, the unit of boxes.
        min_area: regions below this share of the picture are left out.
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
        if groups.get(group, 0.0) >= min_area
    }
    return Scene(classmap.index, classes, groups, regions)


def _regions(
    ids: np.ndarray, group: str, labels: LabelSet, frame_size: tuple[int, int], min_area: float
) -> list[Region]:
    """Eight-connected components of a group's mask, largest first."""
    mask = (labels.group_table[ids] == GROUPS.index(group)).astype(np.uint8)
    n, components, stats, centroids = cv2.connectedComponentsWithStats(mask, connectivity=8)
    sy, sx = frame_size[0] / ids.shape[0], frame_size[1] / ids.shape[1]
    found = []
    for i in range(1, n):
        x, y, w, h, area = (int(v) for v in stats[i])
        if area < min_area * ids.size:
            continue
        window = np.s_[y : y + h, x : x + w]
        votes = np.bincount(ids[window][components[window] == i], minlength=len(labels))
        x0, y0, x1, y1 = round(x * sx), round(y * sy), round((x + w) * sx), round((y + h) * sy)
        cx, cy = (float(v) for v in centroids[i])
        centre = (round((cx + 0.5) * sx, 1), round((cy + 0.5) * sy, 1))
        region = Region(labels.classes[int(votes.argmax())], (x0, y0, x1 - x0, y1 - y0), area / ids.size, centre)
        found.append(region)
    return sorted(found, key=lambda r: -r.area)
