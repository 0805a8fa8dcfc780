"""A dataset at another size and without fringes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.data import open_dataset
from drivenet.data.synthetic import SyntheticDataset
from drivenet.data.views import Resized, WithoutFringes, without_fringes
from drivenet.errors import UsageError
from drivenet.labels import CITYSCAPES

CAR, TRUCK = CITYSCAPES.id_of("car"), CITYSCAPES.id_of("truck")


def test_rims_go_and_things_stay_as_they_are() -> None:
    ids = np.zeros((40, 40), np.uint8)
    ids[4:14, 4:14] = TRUCK  # the rim of a car
    ids[5:13, 5:13] = CAR
    ids[20:30, 20:32] = TRUCK  # a truck with a mirror
    ids[24, 32:36] = TRUCK
    clean = without_fringes(ids, (TRUCK,))
    expected = ids.copy()
    expected[(ids == TRUCK) & (np.add.outer(np.arange(40), np.zeros(40)) < 15)] = 255
    expected[24, 32:36] = 255
    np.testing.assert_array_equal(clean, expected)
    assert ids.max() == TRUCK, "the truth that was read is not written to"


def lay(root: Path) -> Path:
    for folder in ("train/images", "train/labels"):
        (root / folder).mkdir(parents=True)
    ids = np.zeros((8, 8), np.uint8)
    ids[:, 4:] = 6
    assert cv2.imwrite(str(root / "train/images/a.png"), np.full((8, 8, 3), 90, np.uint8))
    assert cv2.imwrite(str(root / "train/labels/a.png"), ids)
    return root


def test_iddlite_is_a_plain_folder_with_labels_of_its_own(tmp_path: Path) -> None:
    samples = open_dataset("iddlite", lay(tmp_path), "train")
    assert (samples.name, samples.split, samples.labels.name, len(samples)) == ("iddlite", "train", "iddlite", 1)
    assert set(np.unique(samples[0].ids)) == {0, 6}


def test_pictures_and_labels_come_to_one_size(tmp_path: Path) -> None:
    samples = Resized(open_dataset("iddlite", lay(tmp_path), "train"), (4, 16))
    (sample,) = samples
    assert sample.image.shape == (4, 16, 3)
    np.testing.assert_array_equal(sample.ids, np.repeat([[0] * 8 + [6] * 8], 4, 0))
    assert (samples.name, samples.split, samples.labels.name) == ("iddlite", "train", "iddlite")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_single_things_come_to_the_size_of_their_classes(dtype: type) -> None:
    drives = SyntheticDataset("val", 1, 1, width=192, height=108)
    first = 200 if dtype == np.uint8 else 1000
    instances = drives[0].ids.astype(dtype) + first
    small = Resized(drives, (41, 90)).change(replace(drives[0], instances=instances))
    assert small.instances is not None
    np.testing.assert_array_equal(small.instances - first, small.ids)
    assert (small.instances.dtype == np.uint8) == (dtype == np.uint8)


def test_a_class_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="label set iddlite has no class 'truck'"):
        WithoutFringes(open_dataset("iddlite", lay(tmp_path), "train"), ("truck",))
