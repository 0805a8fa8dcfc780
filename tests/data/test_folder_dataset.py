"""A plain pair of folders, with or without splits."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.data import open_dataset
from drivenet.errors import SourceError, UsageError
from drivenet.labels import CAMVID, CITYSCAPES, VOC
from drivenet.palette_png import encode_palette_png


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


def test_two_labels_of_one_picture_are_told(tmp_path: Path) -> None:
    """The order on the disk decided which of them was the truth."""
    lay(tmp_path)
    (tmp_path / "labels" / "one.PNG").write_bytes((tmp_path / "labels" / "one.png").read_bytes())
    with pytest.raises(SourceError, match="two label files of one stem; expected one label file a picture"):
        open_dataset("folder", tmp_path, "val", CITYSCAPES)


def test_a_label_of_another_size_is_named(tmp_path: Path) -> None:
    """Of several sources the name of the picture alone did not tell which file it was."""
    lay(tmp_path)
    label = tmp_path / "labels" / "one.png"
    assert cv2.imwrite(str(label), np.zeros((2, 4), np.uint8))
    with pytest.raises(SourceError) as told:
        open_dataset("folder", tmp_path, "val", CITYSCAPES)[0]
    assert str(told.value) == f"{label} of 4x2; expected 4x4, as one.jpg; label the image itself"


def test_ids_of_another_set_are_not_called_colours(tmp_path: Path) -> None:
    """The void of CamVid's own label pictures is 11, of a plain folder 255."""
    lay(tmp_path, value=11)
    told = r"holds label value 11; expected class ids 0\.\.10 or 255 \(void\); save void as 255, or give the --labels"
    with pytest.raises(SourceError, match=told):
        open_dataset("folder", tmp_path, "val", CAMVID)[0]


def png(depth: int, kind: int, rows: list[bytes], palette: bytes = b"", size: int = 4) -> bytes:
    """A PNG of 4x4 pixels, put together by hand; ``size`` is what it says of itself."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">2I5B", size, size, depth, kind, 0, 0, 0))
    body = chunk(b"PLTE", palette) * bool(palette) + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


RED_AND_BLUE = bytes([0, 0, 0, 200, 0, 0, 0, 0, 200])


@pytest.mark.parametrize("table", ["colours", "greys"])
def test_palette_labels_hold_ids_as_our_own_masks_do(tmp_path: Path, table: str) -> None:
    lay(tmp_path)
    ids = np.array([[0, 5], [20, 255]], np.uint8).repeat(2, 0).repeat(2, 1)
    palette = VOC.rgb_table if table == "colours" else np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    (tmp_path / "labels" / "one.png").write_bytes(encode_palette_png(ids, palette))
    np.testing.assert_array_equal(open_dataset("folder", tmp_path, "val", VOC)[0].ids, ids)


def test_palette_labels_of_few_colours_hold_ids_too(tmp_path: Path) -> None:
    """Two bits a pixel: 0, 1, 2, 1 in every row."""
    lay(tmp_path)
    (tmp_path / "labels" / "one.png").write_bytes(png(2, 3, [bytes([0b00011001])] * 4, RED_AND_BLUE))
    np.testing.assert_array_equal(open_dataset("folder", tmp_path, "val", VOC)[0].ids, [[0, 1, 2, 1]] * 4)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (png(1, 0, [b"\x50"] * 4), "has a bit depth of 1"),  # a 1 is read as 255, which is ignored
        (png(4, 0, [b"\x01\x01"] * 4), "has a bit depth of 4"),  # a 1 is read as 17, another class
        (png(8, 3, [bytes(4)] * 4, bytes([7, 7, 7])), r"decodes to uint8 \(4, 4, 3\)"),  # is it 0 or 7?
        (png(8, 2, [bytes(12)] * 4), r"decodes to uint8 \(4, 4, 3\)"),
        (png(16, 0, [bytes(8)] * 4), r"decodes to uint16 \(4, 4\)"),
        (png(8, 3, [bytes(4)] * 4, RED_AND_BLUE)[:-20], "is no picture"),
        (png(8, 0, [bytes(4)] * 4, size=40_000), "is no picture"),
    ],
    ids=["one bit", "four bits", "odd greys", "colours", "16 bits", "cut short", "impossible size"],
)
def test_labels_that_could_mean_something_else_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    lay(tmp_path)
    (tmp_path / "labels" / "one.png").write_bytes(content)
    with pytest.raises(SourceError, match=rf"one\.png {told}; expected"):
        open_dataset("folder", tmp_path, "val", CITYSCAPES)[0]


def test_a_missing_split_is_told_beside_those_that_are_there(tmp_path: Path) -> None:
    """The cure was another root, where the root was right."""
    lay(tmp_path / "own" / "train")
    with pytest.raises(SourceError, match="give --split train, which is there"):
        open_dataset("folder", tmp_path / "own", "val", CITYSCAPES)
    for part in ("train", "test"):
        (tmp_path / "camvid" / part).mkdir(parents=True)
        (tmp_path / "cityscapes" / "leftImg8bit" / part).mkdir(parents=True)
    for name in ("camvid", "cityscapes"):
        with pytest.raises(SourceError, match="give --split train or --split test, which is there"):
            open_dataset(name, tmp_path / name, "val")
    (tmp_path / "camvid" / "val").mkdir()
    with pytest.raises(SourceError, match=r"valannot.*give --root"):
        open_dataset("camvid", tmp_path / "camvid", "val")
    with pytest.raises(SourceError, match="give --root"):
        open_dataset("folder", tmp_path / "camvid" / "val", "val", CITYSCAPES)
