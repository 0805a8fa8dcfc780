"""What was found in one class map: how much of each class, and the countable things with their boxes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from drivenet.classmap import ClassMap, Ids, ThingMaps
from drivenet.labels import COUNTABLE_GROUPS, GROUPS, LabelSet
from drivenet.modelspec import ThingsSpec
from drivenet.things import InstanceMap, Thing
from drivenet.things.components import MIN_AREA, components
from drivenet.things.grouping import Grouped, GroupingRule
from drivenet.things.grouping import group as group_things
from drivenet.things.measure import Measured, measure
from drivenet.things.tracking import Tracker

#: OpenCV counts in single precision: so many pixels without a loss.
_COUNTED = 1 << 24

#: The former name of :class:`~drivenet.things.Thing`, for one release.
Region = Thing


@dataclass(frozen=True)
class Scene:
    """Fractions are shares of the frame, 0..1; classes and groups that are absent are absent here too.

    Args:
        index: the frame's index.
        classes: fraction by class name.
        groups: fraction by group name.
        things: of all countable groups, largest first.
        instances: (H', W') uint8 at the size of the class map: k where the k-th of ``things`` is, 0 elsewhere.
        measured: the things in pixels of the class map.
    """

    index: int
    classes: dict[str, float]
    groups: dict[str, float]
    things: tuple[Thing, ...] = ()
    instances: InstanceMap | None = field(default=None, repr=False, compare=False)
    measured: Measured | None = field(default=None, repr=False, compare=False)

    @property
    def regions(self) -> dict[str, list[Thing]]:
        """The things by countable group, under their former name, for one release: use :attr:`things`."""
        found: dict[str, list[Thing]] = {}
        for thing in self.things:
            found.setdefault(thing.group, []).append(thing)
        return {group: found[group] for group in COUNTABLE_GROUPS if group in found}

    def to_dict(self) -> dict[str, object]:
        """The ``classes``, ``groups`` and ``things`` members of a stats line: the classes present, and every group.

        The groups' ``regions`` are the things under their former name, for one release.
        """
        groups: dict[str, object] = {}
        regions = self.regions
        for group in GROUPS:
            entry: dict[str, object] = {"fraction": round(self.groups.get(group, 0.0), 5)}
            if group in COUNTABLE_GROUPS:
                entry["regions"] = [
                    {"class": r.cls, "box": list(r.box), "area": round(r.area, 5)} for r in regions.get(group, [])
                ]
            groups[group] = entry
        return {
            "classes": {c: round(f, 5) for c, f in self.classes.items()},
            "groups": groups,
            "things": [thing.to_dict() for thing in self.things],
        }


def analyse(
    classmap: ClassMap, labels: LabelSet, frame_size: tuple[int, int], min_area: float = MIN_AREA,
    heads: tuple[ThingMaps, ThingsSpec] | None = None,
) -> Scene:  # fmt: skip
    """Describe a class map.

    Args:
        classmap: the ids, at any size.
        labels: what the ids mean.
        frame_size: (height, width) of the source frame, the unit of boxes.
        min_area: things below this fraction of the image are left out (0 keeps all).
        heads: where an engine says that single things are, and its spec of that, whose ``min_area`` counts then;
            without, things are connected components.
    """
    ids = classmap.ids
    share = _shares(ids)
    classes = {c: fraction for c, fraction in zip(labels.classes, share, strict=False) if fraction}
    in_groups = {group: sum(share[i] for i in labels.ids_of_group(group)) for group in GROUPS}
    groups = {group: fraction for group, fraction in in_groups.items() if fraction}
    grouped = None if heads is None else parted(ids, *heads, labels)
    return Scene(classmap.index, classes, groups, *separated(ids, grouped, labels, frame_size, min_area))


def separated(
    ids: Ids, grouped: Grouped | None, labels: LabelSet, frame_size: tuple[int, int], min_area: float = MIN_AREA
) -> tuple[tuple[Thing, ...], InstanceMap, Measured]:
    """The ``things``, ``instances`` and ``measured`` of a scene.

    Args:
        ids: (H', W') uint8 class ids.
        grouped: the things in them; None for connected components.
        labels, frame_size, min_area: as of :func:`analyse`.
    """
    scores = None
    if grouped is None:
        instances, count = components(ids, labels.countable_table, min_area)
    else:
        instances, scores, count = grouped.instances, grouped.scores, len(grouped.scores)
    measured = measure(instances, ids, count)
    things = measured.things(labels, (ids.shape[0], ids.shape[1]), frame_size, scores)
    return tuple(things), instances, measured


def _shares(ids: Ids) -> list[float]:
    """Fraction of a class map (H', W') by id, 256 of them."""
    if ids.size > _COUNTED:
        counts = np.bincount(ids.ravel(), minlength=256)
    else:  # a third of the time
        counts = cv2.calcHist([ids], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    found: list[float] = (counts / ids.size).tolist()
    return found


def parted(ids: Ids, maps: ThingMaps, spec: ThingsSpec, labels: LabelSet) -> Grouped:
    """The things of a class map, (H', W') uint8, by what an engine with centres gives."""
    rule = GroupingRule(spec.centre, spec.reach, spec.scale, spec.min_area)
    return group_things(ids, maps.centres, maps.offsets, labels.countable_table, rule, maps.window)


def tracked(scene: Scene, tracker: Tracker, captured_ns: int, labels: LabelSet, frame_size: tuple[int, int]) -> Scene:
    """A scene whose things have ids, ages and velocities.

    Args:
        scene: as :func:`analyse` gives it, of the frame after the one before.
        tracker: of its source.
        captured_ns: of the frame.
        labels: of the class map.
        frame_size: (height, width) of the source frame.
    """
    if scene.instances is None or scene.measured is None:
        return scene
    kinds = labels.countable_table[scene.measured.classes].astype(np.int64)
    things = tracker.follow(list(scene.things), scene.instances, scene.measured, kinds, captured_ns, frame_size)
    return replace(scene, things=tuple(things))
