"""Picture files: one place decides which there are and what is in them, for sources, data sets and calibration."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from drivenet.data import open_dataset
from drivenet.data.base import Dataset
from drivenet.data.pictures import folder_pictures
from drivenet.decoding import decode, is_cut_short, read_picture
from drivenet.errors import SourceError
from drivenet.labels import CAMVID
from drivenet.picture_files import IMAGE_SUFFIXES, list_files
from drivenet.sources.images import find_images

APPLE_DOUBLE = b"\0\5\26\7" + bytes(90)
CITY = "aachen_000000_000019"


def picture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), np.uint8)
    return cv2.resize(noise, (160, 90))


def labels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 11, (90, 160), np.uint8)


def put(path: Path, pixels: np.ndarray) -> None:
    """A picture, and what a Mac leaves beside it on exFAT and SMB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    path.with_name(f"._{path.name}").write_bytes(APPLE_DOUBLE)


def lay(root: Path, name: str) -> Dataset:
    if name == "folder":
        put(root / "images" / "a.jpg", picture())
        put(root / "labels" / "a.png", labels())
    elif name == "camvid":
        put(root / "val" / "a.png", picture())
        put(root / "valannot" / "a.png", labels())
    else:
        put(root / "leftImg8bit/val/aachen" / f"{CITY}_leftImg8bit.png", picture())
        put(root / "gtFine/val/aachen" / f"{CITY}_gtFine_labelIds.png", labels())
        (root / "leftImg8bit/val/._aachen").write_bytes(APPLE_DOUBLE)
    return open_dataset(name, root, "val", CAMVID if name == "folder" else None)


@pytest.mark.parametrize("name", ["folder", "camvid", "cityscapes"])
def test_hidden_files_belong_to_no_data_set(tmp_path: Path, name: str) -> None:
    dataset = lay(tmp_path, name)
    assert len(dataset) == 1
    assert dataset[0].ids.shape == (90, 160)


def test_hidden_files_are_no_calibration_pictures(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg", picture())
    assert len(folder_pictures(tmp_path)) == 1


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES - {".mpo", ".jfif", ".pgm"}))
def test_all_take_the_same_formats(tmp_path: Path, suffix: str) -> None:
    put(tmp_path / "images" / f"a{suffix}", picture())
    put(tmp_path / "labels" / "a.png", labels())
    folder = tmp_path / "images"
    (folder / f"a{suffix}").rename(folder / f"A{suffix.upper()}")
    (tmp_path / "labels" / "a.png").rename(tmp_path / "labels" / "A.PNG")
    assert [p.name for p in find_images(str(folder))] == [f"A{suffix.upper()}"]
    assert len(folder_pictures(folder)) == 1
    assert len(open_dataset("folder", tmp_path, "val", CAMVID)) == 1


def test_a_folder_in_a_circle_is_searched_once(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png", picture())
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    put(tmp_path / "@eaDir" / "1.png", picture())
    assert [p.name for p in list_files(tmp_path, recursive=True)] == ["1.png"]


def test_a_label_of_a_lossy_format_is_refused(tmp_path: Path) -> None:
    """Also one whose values are all classes: those beside every edge are others than were drawn."""
    dataset = lay(tmp_path, "folder")
    ids = np.repeat(np.uint8([[2, 8]]), 80, 1).repeat(90, 0)
    for suffix, kind in ((".jpg", "JPEG"), (".webp", "WebP"), (".tif", "TIFF")):
        data = cv2.imencode(suffix, ids)[1].tobytes()
        (tmp_path / "labels" / "a.png").write_bytes(data)
        with pytest.raises(SourceError, match=rf"a\.png is a {kind} inside, which may change label values.*as PNG"):
            dataset[0]


def test_labels_of_another_format_are_not_called_missing(tmp_path: Path) -> None:
    lay(tmp_path, "folder")
    (tmp_path / "labels" / "a.png").rename(tmp_path / "labels" / "a.jpg")
    with pytest.raises(SourceError, match=r"labels/a\.jpg is no PNG; expected labels as PNG"):
        open_dataset("folder", tmp_path, "val", CAMVID)


def turned(path: Path, orientation: int, pixels: np.ndarray) -> None:
    """A JPEG whose stored pixels are these, with an EXIF mark."""
    image = Pillow.fromarray(np.ascontiguousarray(pixels[:, :, ::-1]))
    exif = image.getexif()
    exif[0x112] = orientation
    image.save(path, exif=exif, quality=95)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_turned_picture_goes_with_its_label_as_stored_and_as_shown(tmp_path: Path, orientation: int) -> None:
    dataset = lay(tmp_path, "folder")
    turned(tmp_path / "images" / "a.jpg", orientation, picture())
    np.testing.assert_allclose(dataset[0].image.mean((0, 2)), picture().mean((0, 2)), atol=9)
    upright = cv2.rotate(labels(), cv2.ROTATE_90_CLOCKWISE) if orientation == 6 else labels()
    put(tmp_path / "labels" / "a.png", upright)
    assert dataset[0].image.shape[:2] == upright.shape


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_turn_that_the_label_cannot_tell_is_refused(tmp_path: Path, orientation: int) -> None:
    dataset = lay(tmp_path, "folder")
    turned(tmp_path / "images" / "a.jpg", orientation, picture())
    with pytest.raises(SourceError, match=r"a\.jpg is rotated by its EXIF orientation, and it is unclear"):
        dataset[0]


@pytest.mark.parametrize("thumbnail", [False, True])
def test_a_jpeg_without_its_end_is_refused_whatever_the_decoder_makes_of_it(tmp_path: Path, thumbnail: bool) -> None:
    whole = cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    if thumbnail:  # its own end is not the picture's
        inner = cv2.imencode(".jpg", picture()[:8, :8])[1].tobytes()
        whole = whole[:2] + b"\xff\xe2" + (len(inner) + 2).to_bytes(2, "big") + inner + whole[2:]
    assert decode(whole, cv2.IMREAD_COLOR) is not None
    for keep in range(len(whole) // 2, len(whole) - 1, 97):
        assert is_cut_short(whole[:keep])
        assert decode(whole[:keep], cv2.IMREAD_COLOR) is None
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"half\.jpg is damaged"):
        read_picture(tmp_path / "half.jpg")


def test_what_follows_a_jpeg_does_not_matter() -> None:
    """Panorama and motion pictures of telephones have more behind the first one, cameras pad with zeros."""
    whole = cv2.imencode(".jpg", picture())[1].tobytes()
    for more in (b"\0" * 512, whole[:300], b"\xff"):
        assert decode(whole + more, cv2.IMREAD_COLOR) is not None
