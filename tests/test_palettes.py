"""Palettes: what matters on the road stands out, also for the colour-blind."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from drivenet.errors import UsageError
from drivenet.labels import BUILT_IN, CAMVID, CITYSCAPES, LabelSet
from drivenet.palettes import with_palette

Floats = npt.NDArray[np.float64]

#: Simulation of dichromats on linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, severity 1.
BLINDNESS = {
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
SURROUNDINGS = {"cityscapes": ("road", "building", "vegetation"), "camvid": ("Road", "Building", "Tree")}
#: CIE 1976 colour difference; about 2.3 is just noticeable side by side.
APART = 10.0


def linear(rgb: tuple[int, ...]) -> Floats:
    c = np.array(rgb) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """WCAG 2.2, relative luminance and contrast ratio."""
    low, high = sorted(float(linear(c) @ TO_XYZ[1]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def lab(light: Floats) -> Floats:
    xyz = TO_XYZ @ light.clip(0, 1) / (0.9505, 1, 1.089)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(a: tuple[int, ...], b: tuple[int, ...], blindness: str) -> float:
    seen = [lab(np.array(BLINDNESS[blindness]) @ linear(c)) for c in (a, b)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def kinds(labels: LabelSet) -> dict[str, str]:
    """What must be told apart: signs, people, vehicles, and each of the surroundings."""
    wanted = {c: labels.groups[c] for c in labels.classes if labels.groups[c] in ("sign", "pedestrian", "vehicle")}
    return {**wanted, **{c: c for c in SURROUNDINGS[labels.name]}}


@pytest.mark.parametrize("labels", [CITYSCAPES, CAMVID], ids=lambda labels: labels.name)
def test_signs_people_and_vehicles_stand_out_in_luminance(labels: LabelSet) -> None:
    shown = with_palette(labels, "contrast")
    colour = dict(zip(shown.classes, shown.palette, strict=True))
    surroundings = SURROUNDINGS[labels.name]
    for cls, kind in kinds(labels).items():
        if cls not in surroundings:
            for other in surroundings:
                assert contrast(colour[cls], colour[other]) >= 3, (cls, other, kind)


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("labels", [CITYSCAPES, CAMVID], ids=lambda labels: labels.name)
def test_they_are_told_apart_by_the_colour_blind(labels: LabelSet, blindness: str) -> None:
    shown = with_palette(labels, "contrast")
    colour = dict(zip(shown.classes, shown.palette, strict=True))
    for (a, kind), (b, other) in combinations(kinds(labels).items(), 2):
        if kind != other:
            assert difference(colour[a], colour[b], blindness) >= APART, (a, b)


def test_the_official_palette_does_not_do_that() -> None:
    """Why there is another one."""
    colour = dict(zip(CAMVID.classes, CAMVID.palette, strict=True))
    assert contrast(colour["Pedestrian"], colour["Building"]) < 1.1
    assert contrast(colour["Car"], colour["Road"]) < 2


@pytest.mark.parametrize("labels", BUILT_IN.values(), ids=lambda labels: labels.name)
def test_colours_stay_distinct_and_nothing_else_changes(labels: LabelSet) -> None:
    shown = with_palette(labels, "contrast")
    assert len(set(shown.palette)) == len(labels)
    assert (shown.classes, shown.groups) == (labels.classes, labels.groups)
    assert with_palette(labels, "official") is labels


def test_a_set_with_more_classes_than_colours() -> None:
    many = LabelSet("many", tuple(f"c{i}" for i in range(200)), tuple((i, 0, 0) for i in range(200)),
                    {f"c{i}": "vehicle" for i in range(200)})  # fmt: skip
    assert len(set(with_palette(many, "contrast").palette)) == 200


def test_a_palette_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="no palette 'contrats'; did you mean contrast"):
        with_palette(CAMVID, "contrats")
