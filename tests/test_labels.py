"""Label sets: distinct colours everywhere, Cityscapes' official ones, and no set that contradicts itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivenet.errors import UsageError
from drivenet.labels import BUILT_IN, CAMVID, CITYSCAPES, COUNTABLE_GROUPS, GROUPS, IGNORE_ID, LabelSet, built_in

#: cityscapesScripts, cityscapesscripts/helpers/labels.py: the classes with a train id of 0..18, in its order.
OFFICIAL_CITYSCAPES = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
CAMVID_ORDER = "Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist"
GOOD: dict[str, Any] = {
    "name": "two",
    "classes": ("a", "b"),
    "palette": ((1, 2, 3), (4, 5, 6)),
    "groups": {"a": "road", "b": "sign"},
}


#: VOC paints its background class black, and knows neither roads nor signs.
DRIVING = {name: labels for name, labels in BUILT_IN.items() if name != "voc"}


def test_voc_has_the_colours_of_its_development_kit() -> None:
    """Its rule: bit k of red, green and blue are bits 0, 1 and 2 of the k-th octal digit of the id, from the top."""
    for class_id, colour in enumerate(BUILT_IN["voc"].palette):
        digits = [class_id >> 3 * k & 7 for k in range(8)]
        assert colour == tuple(sum((d >> channel & 1) << 7 - k for k, d in enumerate(digits)) for channel in range(3))
    assert len(BUILT_IN["voc"]) == 21


@pytest.mark.parametrize("labels", DRIVING.values(), ids=DRIVING)
def test_colours_are_distinct_and_none_is_that_of_no_class(labels: LabelSet) -> None:
    assert len(set(labels.palette)) == len(labels) == len(labels.classes)
    assert (0, 0, 0) not in labels.palette
    np.testing.assert_array_equal(labels.rgb_table[: len(labels)], labels.palette)
    assert not labels.rgb_table[len(labels) :].any()
    np.testing.assert_array_equal(labels.bgr_table, labels.rgb_table[:, ::-1])


@pytest.mark.parametrize("labels", DRIVING.values(), ids=DRIVING)
def test_every_class_has_a_group_and_every_group_a_class(labels: LabelSet) -> None:
    """IDD-Lite alone cannot tell signs from what else stands at the roadside."""
    members = [labels.ids_of_group(group) for group in GROUPS]
    assert sorted(i for ids in members for i in ids) == list(range(len(labels)))
    empty = {group for group, ids in zip(GROUPS, members, strict=True) if not ids}
    assert empty == ({"sign"} if labels.name == "iddlite" else set())
    for index, ids in enumerate(members):
        assert all(labels.group_table[i] == index for i in ids)
    assert (labels.group_table[len(labels) :] == IGNORE_ID).all()


def test_cityscapes_has_its_official_classes_and_colours() -> None:
    assert dict(zip(CITYSCAPES.classes, CITYSCAPES.palette, strict=True)) == OFFICIAL_CITYSCAPES
    assert list(CITYSCAPES.classes) == list(OFFICIAL_CITYSCAPES)


def test_camvid_has_the_ids_of_the_segnet_split() -> None:
    assert " ".join(CAMVID.classes) == CAMVID_ORDER


def test_countable_groups_are_groups_without_road_and_background() -> None:
    assert set(COUNTABLE_GROUPS) == set(GROUPS) - {"road", "background"}


def test_finds_ids_and_sets_by_name() -> None:
    assert CAMVID.id_of("Road") == 3
    assert built_in("cityscapes") is CITYSCAPES
    with pytest.raises(UsageError, match=r"no class 'Raod'; did you mean Road\?"):
        CAMVID.id_of("Raod")
    with pytest.raises(UsageError, match=r"no group 'vehicles'; did you mean vehicle\?"):
        CAMVID.ids_of_group("vehicles")
    with pytest.raises(UsageError, match=r"no label set 'camvd'; did you mean camvid\?"):
        built_in("camvd")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": (), "palette": (), "groups": {}}, "has 0 classes"),
        ({"classes": tuple(map(str, range(256)))}, "has 256 classes; expected 1 to 255"),
        ({"classes": ("a", "a")}, "names a class twice"),
        ({"palette": ((1, 2, 3),)}, "2 classes but 1 colours"),
        ({"palette": ((1, 2, 3), (1, 2, 3))}, "two classes one colour"),
        ({"palette": ((1, 2, 3), (1, 2, 256))}, "not RGB"),
        ({"palette": ((1, 2, 3), (1, 2))}, "not RGB"),
        ({"groups": {"a": "road"}}, "do not cover its classes: b"),
        ({"groups": {"a": "road", "b": "sign", "c": "sign"}}, "do not cover its classes: c"),
        ({"groups": {"a": "road", "b": "vehicles"}}, r"group 'vehicles'; did you mean vehicle\?"),
    ],
)
def test_a_set_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    assert len(LabelSet(**GOOD)) == 2
    with pytest.raises(UsageError, match=f"'two' .*{message}"):
        LabelSet(**{**GOOD, **change})


@given(st.sets(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=40), st.data())
def test_tables_hold_what_any_set_says(colours: set[tuple[int, int, int]], data: st.DataObject) -> None:
    palette = tuple(colours)
    classes = tuple(f"c{i}" for i in range(len(palette)))
    groups = {c: data.draw(st.sampled_from(GROUPS)) for c in classes}
    labels = LabelSet("any", classes, palette, groups)
    for i, cls in enumerate(classes):
        assert labels.id_of(cls) == i
        assert tuple(labels.bgr_table[i].tolist()) == palette[i][::-1]
        assert i in labels.ids_of_group(groups[cls])
        assert GROUPS[labels.group_table[i]] == groups[cls]
