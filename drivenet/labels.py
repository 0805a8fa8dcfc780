"""Label sets: ordered classes with their colours and the group each belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from drivenet.errors import UsageError, nearest

IGNORE_ID = 255
GROUPS = ("road", "sign", "pedestrian", "vehicle", "background")
COUNTABLE_GROUPS = ("sign", "pedestrian", "vehicle")

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class LabelSet:
    """Classes in the order of their ids, which run from 0 without a gap.

    Args:
        name: how commands and artefacts call the set.
        classes: one name an id, all distinct.
        palette: one RGB colour an id, 0..255, all distinct.
        groups: for every class one of :data:`GROUPS`.

    Raises:
        UsageError: if lengths differ, or a name, colour or group is not acceptable.

    >>> labels = built_in("cityscapes")
    >>> labels.id_of("car"), labels.groups["car"], labels.palette[13]
    (13, 'vehicle', (0, 0, 142))
    """

    name: str
    classes: tuple[str, ...]
    palette: tuple[Rgb, ...]
    groups: Mapping[str, str] = field(hash=False)

    def __post_init__(self) -> None:
        n = len(self.classes)
        where = f"label set {self.name!r}"
        if not 1 <= n <= IGNORE_ID:
            raise UsageError(f"{where} has {n} classes", f"1 to {IGNORE_ID}")
        if len(set(self.classes)) != n:
            raise UsageError(f"{where} names a class twice", "distinct class names")
        if len(self.palette) != n:
            raise UsageError(f"{where} has {n} classes but {len(self.palette)} colours", "one colour a class")
        if len(set(self.palette)) != n:
            raise UsageError(f"{where} gives two classes one colour", "distinct colours")
        if any(len(c) != 3 or not all(0 <= v <= 255 for v in c) for c in self.palette):
            raise UsageError(f"{where} has a colour that is not RGB 0..255", "three numbers of 0..255 a class")
        if set(self.groups) != set(self.classes):
            odd = sorted(set(self.groups) ^ set(self.classes))
            raise UsageError(f"{where} groups do not cover its classes: {', '.join(odd)}", "one group a class")
        for cls, group in self.groups.items():
            if group not in GROUPS:
                raise UsageError(f"{where} puts {cls} into group {group!r}", cure=nearest(group, GROUPS))

    def __len__(self) -> int:
        return len(self.classes)

    def id_of(self, name: str) -> int:
        """The id of a class; UsageError with the nearest name if there is none."""
        if name not in self.classes:
            raise UsageError(f"label set {self.name} has no class {name!r}", cure=nearest(name, self.classes))
        return self.classes.index(name)

    def ids_of_group(self, group: str) -> tuple[int, ...]:
        """The ids of the classes in a group, ascending; UsageError for what is none of :data:`GROUPS`."""
        if group not in GROUPS:
            raise UsageError(f"no group {group!r}", cure=nearest(group, GROUPS))
        return self._members[group]

    @cached_property
    def _members(self) -> dict[str, tuple[int, ...]]:
        """Ascending ids by group."""
        return {g: tuple(i for i, c in enumerate(self.classes) if self.groups[c] == g) for g in GROUPS}

    @cached_property
    def rgb_table(self) -> npt.NDArray[np.uint8]:
        """Colours by id, (256, 3) uint8 RGB; ids without a class (ignore too) are black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = self.palette
        return table

    @cached_property
    def bgr_table(self) -> npt.NDArray[np.uint8]:
        """As :attr:`rgb_table`, in BGR."""
        return np.ascontiguousarray(self.rgb_table[:, ::-1])

    @cached_property
    def group_table(self) -> npt.NDArray[np.uint8]:
        """Index into :data:`GROUPS` by class id, (256,) uint8; 255 for ids without a class."""
        table = np.full(256, IGNORE_ID, np.uint8)
        table[: len(self)] = [GROUPS.index(self.groups[c]) for c in self.classes]
        return table

    @cached_property
    def countable_table(self) -> npt.NDArray[np.uint8]:
        """By class id 1 + the place of its group in :data:`COUNTABLE_GROUPS`, 0 for stuff; (256,) uint8."""
        table = np.zeros(256, np.uint8)
        for kind, group in enumerate(COUNTABLE_GROUPS, 1):
            table[self.group_table == GROUPS.index(group)] = kind
        table.flags.writeable = False
        return table


def _label_set(name: str, rows: Sequence[tuple[str, Rgb, str]]) -> LabelSet:
    return LabelSet(
        name=name,
        classes=tuple(r[0] for r in rows),
        palette=tuple(r[1] for r in rows),
        groups={r[0]: r[2] for r in rows},
    )


#: CamVid in the 11 classes of the SegNet split (Badrinarayanan et al. 2017), colours of that publication.
CAMVID = _label_set(
    "camvid",
    [
        ("Sky", (128, 128, 128), "background"),
        ("Building", (128, 0, 0), "background"),
        ("Pole", (192, 192, 128), "background"),
        ("Road", (128, 64, 128), "road"),
        ("Pavement", (60, 40, 222), "background"),
        ("Tree", (128, 128, 0), "background"),
        ("SignSymbol", (192, 128, 128), "sign"),
        ("Fence", (64, 64, 128), "background"),
        ("Car", (64, 0, 128), "vehicle"),
        ("Pedestrian", (64, 64, 0), "pedestrian"),
        ("Bicyclist", (0, 128, 192), "pedestrian"),
    ],
)

#: Cityscapes' 19 train ids with the official colours (Cordts et al. 2016, cityscapesScripts ``labels.py``).
CITYSCAPES = _label_set(
    "cityscapes",
    [
        ("road", (128, 64, 128), "road"),
        ("sidewalk", (244, 35, 232), "background"),
        ("building", (70, 70, 70), "background"),
        ("wall", (102, 102, 156), "background"),
        ("fence", (190, 153, 153), "background"),
        ("pole", (153, 153, 153), "background"),
        ("traffic light", (250, 170, 30), "sign"),
        ("traffic sign", (220, 220, 0), "sign"),
        ("vegetation", (107, 142, 35), "background"),
        ("terrain", (152, 251, 152), "background"),
        ("sky", (70, 130, 180), "background"),
        ("person", (220, 20, 60), "pedestrian"),
        ("rider", (255, 0, 0), "pedestrian"),
        ("car", (0, 0, 142), "vehicle"),
        ("truck", (0, 0, 70), "vehicle"),
        ("bus", (0, 60, 100), "vehicle"),
        ("train", (0, 80, 100), "vehicle"),
        ("motorcycle", (0, 0, 230), "vehicle"),
        ("bicycle", (119, 11, 32), "vehicle"),
    ],
)

#: IDD-Lite's seven classes (Varma et al. 2019, level 1 of IDD). Vehicles hold motorcycles and bicycles; what stands at
#: the roadside holds signs, lights, poles, walls and fences, so that it has no group of its own.
IDDLITE = _label_set(
    "iddlite",
    [
        ("drivable", (128, 64, 128), "road"),
        ("non-drivable", (244, 35, 232), "background"),
        ("living things", (220, 20, 60), "pedestrian"),
        ("vehicles", (0, 0, 142), "vehicle"),
        ("roadside objects", (190, 153, 153), "background"),
        ("far objects", (107, 142, 35), "background"),
        ("sky", (70, 130, 180), "background"),
    ],
)

#: Pascal VOC's 20 object classes and background with the colours of its development kit (Everingham et al. 2010).
VOC = _label_set(
    "voc",
    [
        ("background", (0, 0, 0), "background"),
        ("aeroplane", (128, 0, 0), "background"),
        ("bicycle", (0, 128, 0), "vehicle"),
        ("bird", (128, 128, 0), "background"),
        ("boat", (0, 0, 128), "background"),
        ("bottle", (128, 0, 128), "background"),
        ("bus", (0, 128, 128), "vehicle"),
        ("car", (128, 128, 128), "vehicle"),
        ("cat", (64, 0, 0), "background"),
        ("chair", (192, 0, 0), "background"),
        ("cow", (64, 128, 0), "background"),
        ("dining table", (192, 128, 0), "background"),
        ("dog", (64, 0, 128), "background"),
        ("horse", (192, 0, 128), "background"),
        ("motorbike", (64, 128, 128), "vehicle"),
        ("person", (192, 128, 128), "pedestrian"),
        ("potted plant", (0, 64, 0), "background"),
        ("sheep", (128, 64, 0), "background"),
        ("sofa", (0, 192, 0), "background"),
        ("train", (128, 192, 0), "vehicle"),
        ("tv monitor", (0, 64, 128), "background"),
    ],
)

BUILT_IN = {labels.name: labels for labels in (CAMVID, CITYSCAPES, IDDLITE, VOC)}


def id_without_class(ids: npt.NDArray[np.uint8], classes: int) -> int | None:
    """The highest id of a class map (H', W') that none of so many classes has; None if there is none.

    :data:`IGNORE_ID` stands for no class, and is none.
    """
    if ids.max(initial=0) < classes:
        return None
    highest = int((ids + np.uint8(1)).max()) - 1  # IGNORE_ID becomes -1
    return highest if highest >= classes else None


def built_in(name: str) -> LabelSet:
    """A built-in label set by name; UsageError listing what exists if there is none."""
    if name not in BUILT_IN:
        raise UsageError(f"no label set {name!r}", cure=nearest(name, BUILT_IN))
    return BUILT_IN[name]
