"""Mappings of label sets: what ships is whole, and what a file says wrongly is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivenet.errors import ConfigError, UsageError
from drivenet.label_mapping import LabelMapping, shipped_mappings
from drivenet.labels import BUILT_IN, CAMVID, CITYSCAPES, VOC, LabelSet

SHIPPED = [file.stem for file in shipped_mappings()]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_mapping_that_ships_gives_every_class_of_the_model_one_place(name: str) -> None:
    mapping = LabelMapping.of(BUILT_IN[name], CITYSCAPES)
    assert mapping.exclusive
    assert all(mapping.members)
    assert frozenset().union(*mapping.members) == frozenset(range(19))
    for i, members in enumerate(mapping.members):
        assert {int(mapping.to_dataset[m]) for m in members} == {i}
    assert (mapping.to_dataset[19:] == 255).all()


def test_camvids_labels_are_sets_of_cityscapes_classes() -> None:
    mapping = LabelMapping.of(CAMVID, CITYSCAPES)
    named = {
        CAMVID.classes[i]: {CITYSCAPES.classes[m] for m in members} for i, members in enumerate(mapping.members)
    }  # fmt: skip
    assert named["Car"] == {"car", "truck", "bus", "train"}
    assert named["Bicyclist"] == {"rider", "bicycle", "motorcycle"}
    assert named["SignSymbol"] == {"traffic light", "traffic sign"}


def test_equal_classes_are_themselves() -> None:
    grey = LabelSet("grey", CAMVID.classes, tuple((i, i, i) for i in range(11)), CAMVID.groups)
    mapping = LabelMapping.of(grey, CAMVID)
    assert mapping.members == tuple(frozenset({i}) for i in range(11))
    assert mapping.to_dataset[:12].tolist() == [*range(11), 255]


def test_sets_that_nothing_maps_are_an_error() -> None:
    with pytest.raises(UsageError, match="no mapping from voc to cityscapes; expected the same classes, or one of the"):
        LabelMapping.of(VOC, CITYSCAPES)
    with pytest.raises(UsageError, match="no mapping from camvid to voc"):
        LabelMapping.of(CAMVID, VOC)


MINE = LabelSet("mine", ("lane", "beast"), ((1, 1, 1), (2, 2, 2)), {"lane": "road", "beast": "background"})


def write(folder: Path, members: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(f"dataset: mine\nmodel: cityscapes\nmembers: {{{members}}}\n", encoding="utf-8")
    return file


def test_a_mapping_of_ones_own(tmp_path: Path) -> None:
    mapping = LabelMapping.of(MINE, CITYSCAPES, write(tmp_path, "lane: [road, sidewalk], beast: []"))
    assert mapping.members == (frozenset({0, 1}), frozenset())
    assert mapping.to_dataset[:3].tolist() == [0, 0, 255]


def test_a_class_in_two_labels_is_possible_and_known(tmp_path: Path) -> None:
    mapping = LabelMapping.of(MINE, CITYSCAPES, write(tmp_path, "lane: [road], beast: [road, sky]"))
    assert not mapping.exclusive
    assert mapping.to_dataset[[0, 10]].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ("lane: [road]", "leaves out beast; expected every class of the data set"),
        ("lane: [raod], beast: []", "label set cityscapes has no class 'raod'; did you mean road"),
        ("lame: [road], beast: []", "label set mine has no class 'lame'; did you mean lane"),
        ("lane: road, beast: []", "members.lane"),
    ],
)
def test_what_a_file_says_wrongly_is_named(tmp_path: Path, members: str, says: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=says):
        LabelMapping.of(MINE, CITYSCAPES, write(tmp_path, members))
