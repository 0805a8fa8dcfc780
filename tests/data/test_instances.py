"""Images with 8-bit instance numbers beside them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.data.instances import instance_samples
from drivenet.errors import SourceError


def test_images_and_numbers_of_equal_stems_are_pairs(tmp_path: Path) -> None:
    for folder in ("numbers", "images"):
        (tmp_path / folder).mkdir()
    for stem, value in (("a", 1), ("b", 255)):
        cv2.imwrite(str(tmp_path / f"numbers/{stem}.png"), np.full((8, 12), value, np.uint8))
    for stem in ("b", "c"):
        cv2.imwrite(str(tmp_path / f"images/{stem}.jpg"), np.full((8, 12, 3), 90, np.uint8))
    (sample,) = instance_samples(tmp_path, [("numbers", "images"), ("not", "there")])
    assert sample.name == "b.jpg"
    assert sample.image.shape == (8, 12, 3)
    assert np.array_equal(np.unique(sample.instances), [255])


def test_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images with instances"):
        instance_samples(tmp_path)
