"""A plain pair of folders, with or without splits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.data import open_dataset
from drivenet.errors import SourceError, UsageError
from drivenet.labels import CITYSCAPES


def lay(folder: Path, name: str = "one.jpg", value: int = 3) -> None:
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / "images" / name), np.zeros((4, 4, 3), np.uint8))
    assert cv2.imwrite(str(folder / "labels" / f"{Path(name).stem}.png"), np.full((4, 4), value, np.uint8))


def test_reads_a_folder_without_splits(tmp_path: Path) -> None:
    lay(tmp_path)
    lay(tmp_path, "two.PNG", 255)
    (tmp_path / "images" / "notes.txt").touch()
    dataset = open_dataset("folder", tmp_path, "val", CITYSCAPES)
    assert (dataset.split, len(dataset), dataset.labels) == ("all", 2, CITYSCAPES)
    assert dataset[0].ids.max() == 3
    assert dataset[1].ids.min() == 255


def test_a_split_is_taken_where_there_is_one(tmp_path: Path) -> None:
    lay(tmp_path, "whole.png")
    lay(tmp_path / "test", "part.png")
    dataset = open_dataset("folder", tmp_path, "test", CITYSCAPES)
    assert (dataset.split, dataset[0].name) == ("test", "part.png")


def test_needs_labels_and_one_picture_a_stem(tmp_path: Path) -> None:
    lay(tmp_path)
    with pytest.raises(UsageError, match="no label set"):
        open_dataset("folder", tmp_path, "val")
    lay(tmp_path, "one.png")
    with pytest.raises(SourceError, match="two pictures of one stem"):
        open_dataset("folder", tmp_path, "val", CITYSCAPES)
