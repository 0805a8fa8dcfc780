"""Palettes to look at: the data set's own, and one in which signs, people and vehicles stand out."""

from __future__ import annotations

from dataclasses import replace

from drivenet.errors import UsageError, nearest
from drivenet.labels import LabelSet, Rgb

PALETTES = ("official", "contrast")

#: Surroundings are dark, signs yellow, people orange and pink, vehicles light blue: apart in luminance (WCAG 2.2,
#: contrast of 3 and more) and along the axis from blue to yellow, which red-green blindness leaves.
_BY_CLASS: dict[str, Rgb] = {
    "road": (88, 52, 118),
    "sidewalk": (126, 92, 130),
    "building": (66, 62, 50),
    "wall": (94, 80, 70),
    "fence": (112, 98, 64),
    "pole": (150, 150, 150),
    "traffic light": (255, 190, 0),
    "traffic sign": (255, 240, 60),
    "vegetation": (16, 88, 44),
    "terrain": (96, 116, 30),
    "sky": (90, 130, 166),
    "person": (255, 122, 80),
    "rider": (255, 150, 160),
    "car": (80, 190, 255),
    "truck": (40, 226, 220),
    "bus": (150, 204, 255),
    "train": (150, 246, 255),
    "motorcycle": (128, 160, 255),
    "bicycle": (204, 190, 255),
}
_SAME = {
    "pavement": "sidewalk", "tree": "vegetation", "signsymbol": "traffic sign", "pedestrian": "person",
    "bicyclist": "rider",
}  # fmt: skip
#: By group for classes of other label sets, one after the other.
_BY_GROUP: dict[str, tuple[Rgb, ...]] = {
    "road": ((88, 52, 118), (104, 70, 128), (72, 44, 100)),
    "sign": ((255, 240, 60), (255, 190, 0), (236, 214, 120), (255, 215, 30)),
    "pedestrian": ((255, 122, 80), (255, 150, 160), (255, 160, 110), (240, 130, 140)),
    "vehicle": (
        (80, 190, 255), (40, 226, 220), (150, 204, 255), (150, 246, 255), (128, 160, 255), (204, 190, 255),
        (110, 214, 240), (170, 224, 230),
    ),
    "background": (
        (66, 62, 50), (16, 88, 44), (90, 130, 166), (112, 98, 64), (94, 80, 70), (96, 116, 30), (150, 150, 150),
        (60, 80, 90), (84, 60, 60), (50, 70, 70), (120, 110, 110), (76, 76, 96),
    ),
}  # fmt: skip


def with_palette(labels: LabelSet, palette: str) -> LabelSet:
    """The label set in the colours of a palette, for pictures that people look at.

    Args:
        labels: with the data set's own colours.
        palette: one of :data:`PALETTES`.

    Raises:
        UsageError: for another palette.
    """
    if palette not in PALETTES:
        raise UsageError(f"no palette {palette!r}", cure=nearest(palette, PALETTES))
    if palette == "official":
        return labels
    used: list[Rgb] = []
    for name in labels.classes:
        key = name.lower()
        first = _BY_CLASS.get(_SAME.get(key, key))
        used.append(_free(([first] if first else []) + list(_BY_GROUP[labels.groups[name]]), used))
    return replace(labels, palette=tuple(used))


def _free(choice: list[Rgb], used: list[Rgb]) -> Rgb:
    """The first colour that is not used, or a shade of one."""
    for shade in range(256):
        for red, green, blue in choice:
            colour = (red, green, max(0, blue - shade) if blue > 127 else min(255, blue + shade))
            if colour not in used:
                return colour
    raise UsageError("more classes in a group than there are shades", "at most 255 classes")
