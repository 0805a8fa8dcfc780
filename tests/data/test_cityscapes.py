"""Cityscapes in its official layout: label ids become train ids, train-id files are taken as they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.data import open_dataset
from drivenet.errors import SourceError, SourceNotFoundError
from drivenet.labels import CITYSCAPES

CITY, STEM = "aachen", "aachen_000000_000019"
#: cityscapesScripts labels.py: name -> (id, trainId) of the evaluated classes.
OFFICIAL = {
    "road": (7, 0),
    "sidewalk": (8, 1),
    "building": (11, 2),
    "wall": (12, 3),
    "fence": (13, 4),
    "pole": (17, 5),
    "traffic light": (19, 6),
    "traffic sign": (20, 7),
    "vegetation": (21, 8),
    "terrain": (22, 9),
    "sky": (23, 10),
    "person": (24, 11),
    "rider": (25, 12),
    "car": (26, 13),
    "truck": (27, 14),
    "bus": (28, 15),
    "train": (31, 16),
    "motorcycle": (32, 17),
    "bicycle": (33, 18),
}


def write(root: Path, kind: str, suffix: str, picture: np.ndarray) -> Path:
    file = root / kind / "val" / CITY / f"{STEM}_{suffix}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), picture)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "leftImg8bit", "leftImg8bit", np.zeros((2, 17, 3), np.uint8))
    write(tmp_path, "gtFine", "gtFine_labelIds", np.arange(34, dtype=np.uint8).reshape(2, 17))
    return tmp_path


def test_label_ids_become_train_ids_and_all_others_are_ignored(root: Path) -> None:
    dataset = open_dataset("cityscapes", root, "val")
    assert (len(dataset), dataset.labels) == (1, CITYSCAPES)
    ids = dataset[0].ids.ravel()
    expected = dict(OFFICIAL.values())
    assert ids.tolist() == [expected.get(value, 255) for value in range(34)]
    for name, (value, train_id) in OFFICIAL.items():
        assert CITYSCAPES.classes[ids[value]] == name == CITYSCAPES.classes[train_id]


def test_a_train_id_file_is_preferred(root: Path) -> None:
    stored = np.full((2, 17), 255, np.uint8)
    stored[0, 3] = 18
    write(root, "gtFine", "gtFine_labelTrainIds", stored)
    np.testing.assert_array_equal(open_dataset("cityscapes", root, "val")[0].ids, stored)


@pytest.mark.parametrize(("suffix", "value"), [("gtFine_labelIds", 34), ("gtFine_labelTrainIds", 19)])
def test_a_value_outside_the_official_ones_is_named(root: Path, suffix: str, value: int) -> None:
    write(root, "gtFine", suffix, np.full((2, 17), value, np.uint8))
    with pytest.raises(SourceError, match=f"{suffix}.png holds label value {value}"):
        open_dataset("cityscapes", root, "val")[0]


@pytest.mark.parametrize("missing", ["leftImg8bit", "gtFine", "leftImg8bit/val", "gtFine/val"])
def test_the_missing_part_is_named(root: Path, missing: str) -> None:
    (root / missing).rename(root / "elsewhere")
    with pytest.raises(SourceNotFoundError, match=f"no folder .*{missing}; expected Cityscapes: leftImg8bit/val/CITY"):
        open_dataset("cityscapes", root, "val")


def test_a_picture_without_labels_is_named_with_its_city(root: Path) -> None:
    write(root, "gtFine", "gtFine_labelIds", np.zeros((2, 17), np.uint8)).unlink()
    with pytest.raises(SourceError, match=f"no labels for {CITY}/{STEM} "):
        open_dataset("cityscapes", root, "val")


def test_files_without_folders_of_cities_are_told_with_the_layout(root: Path) -> None:
    for file in root.rglob("*.png"):
        file.rename(file.parents[1] / file.name)
    expected = r"no pictures in .*; expected Cityscapes: leftImg8bit/val/CITY/\*_leftImg8bit\.png and gtFine/val/"
    with pytest.raises(SourceError, match=expected):
        open_dataset("cityscapes", root, "val")
