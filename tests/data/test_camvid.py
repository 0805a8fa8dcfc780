"""CamVid as the SegNet split lays it: pairs by name, void ignored, what is missing or odd is named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.data import open_dataset
from drivenet.errors import SourceError, SourceNotFoundError, UsageError
from drivenet.labels import CAMVID


def write(file: Path, picture: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), picture)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate(("b.png", "a.png")):
        write(tmp_path / "val" / name, np.full((6, 8, 3), (10, 20, 30 + i), np.uint8))
        write(tmp_path / "valannot" / name, np.arange(48, dtype=np.uint8).reshape(6, 8) % 12)
    return tmp_path


def test_reads_pairs_in_order_with_void_ignored(root: Path) -> None:
    dataset = open_dataset("camvid", root, "val")
    assert (dataset.name, dataset.split, dataset.labels, len(dataset)) == ("camvid", "val", CAMVID, 2)
    sample = dataset[0]
    assert sample.name == "a.png"
    assert sample.image.shape == (6, 8, 3)
    assert sample.image[0, 0].tolist() == [10, 20, 31]
    stored = np.arange(48).reshape(6, 8) % 12
    np.testing.assert_array_equal(sample.ids, np.where(stored == 11, 255, stored))
    assert sample.ids.dtype == np.uint8
    assert [s.name for s in dataset] == ["a.png", "b.png"]


@pytest.mark.parametrize("missing", ["val", "valannot"])
def test_a_missing_folder_is_named_with_the_layout(root: Path, missing: str) -> None:
    (root / missing).rename(root / "elsewhere")
    with pytest.raises(SourceNotFoundError, match=rf"no folder .*{missing}; expected CamVid.*valannot/\*\.png"):
        open_dataset("camvid", root, "val")


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no folder .*nowhere;"):
        open_dataset("camvid", tmp_path / "nowhere", "val")


def test_a_picture_or_label_without_its_counterpart_is_named(root: Path) -> None:
    (root / "valannot" / "b.png").unlink()
    with pytest.raises(SourceError, match=r"no labels for b\.png \(1 such\)"):
        open_dataset("camvid", root, "val")
    (root / "val" / "b.png").unlink()
    (root / "val" / "a.png").unlink()
    with pytest.raises(SourceError, match=r"no picture for a\.png"):
        open_dataset("camvid", root, "val")
    (root / "valannot" / "a.png").unlink()
    with pytest.raises(SourceError, match="no pictures in"):
        open_dataset("camvid", root, "val")


def test_a_label_value_that_means_nothing_is_named(root: Path) -> None:
    write(root / "valannot" / "a.png", np.full((6, 8), 12, np.uint8))
    with pytest.raises(SourceError, match=r"a\.png holds label value 12; expected class ids 0\.\.10 or 11 \(void\)"):
        open_dataset("camvid", root, "val")[0]


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((6, 8, 3), np.uint8), r"a\.png decodes to uint8 \(6, 8, 3\); expected 8-bit grey"),
        (np.zeros((6, 8), np.uint16), r"a\.png decodes to uint16"),
        (np.zeros((6, 9), np.uint8), r"valannot/a\.png of 9x6; expected 8x6, as a\.png"),
    ],
)
def test_a_label_picture_of_another_kind_is_named(root: Path, picture: np.ndarray, message: str) -> None:
    write(root / "valannot" / "a.png", picture)
    with pytest.raises(SourceError, match=message):
        open_dataset("camvid", root, "val")[0]


@pytest.mark.parametrize("folder", ["val", "valannot"])
def test_damaged_and_vanished_files_are_named(root: Path, folder: str) -> None:
    dataset = open_dataset("camvid", root, "val")
    file = root / folder / "a.png"
    for content in (b"", b"no picture", file.read_bytes()[:60]):
        file.write_bytes(content)
        with pytest.raises(SourceError, match=r"a\.png is (damaged or )?no picture"):
            dataset[0]
    file.unlink()
    with pytest.raises(SourceNotFoundError, match=r"a\.png cannot be read"):
        dataset[0]


def test_a_wrong_name_split_or_no_root_says_what_exists(root: Path) -> None:
    with pytest.raises(UsageError, match=r"no dataset 'camvd'; did you mean camvid\?"):
        open_dataset("camvd", root, "val")
    with pytest.raises(UsageError, match=r"no split 'valid' of camvid; did you mean val\?"):
        open_dataset("camvid", root, "valid")
    with pytest.raises(UsageError, match=r"no root for camvid.*--root"):
        open_dataset("camvid", None, "val")
