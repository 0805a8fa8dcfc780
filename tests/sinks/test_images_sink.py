"""Folders of pictures."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from sink_results import make_result

from drivenet.errors import SinkError, UsageError
from drivenet.result import Result, Totals
from drivenet.sinks import open_sink
from drivenet.sinks.images import ImageFolderSink


def test_overlays_are_jpegs_numbered_by_frame(tmp_path: Path) -> None:
    sink = ImageFolderSink(tmp_path / "new" / "frames")
    for index in (0, 17, 1234567):
        sink.publish(make_result(index, size=(48 + index % 2, 64)))
    sink.close(Totals())
    names = sorted(p.name for p in (tmp_path / "new" / "frames").iterdir())
    assert names == ["000000.jpg", "000017.jpg", "1234567.jpg"]
    picture = cv2.imread(str(tmp_path / "new" / "frames" / "000017.jpg"))
    assert picture.shape == (49, 64, 3)
    assert np.abs(picture.astype(int) - (40, 90, 200)).max() < 8


def test_masks_are_ids_at_engine_size_in_label_colours(tmp_path: Path) -> None:
    sink = ImageFolderSink(tmp_path, visualize="mask")
    result = make_result(3, view=False)
    sink.publish(result)
    (path,) = tmp_path.iterdir()
    assert path.name == "000003.png"
    assert (cv2.imread(str(path)) == result.labels.bgr_table[result.classmap.ids]).all()


def test_a_result_without_a_picture_is_an_error_not_a_gap(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="frame 5 came without a picture"):
        ImageFolderSink(tmp_path).publish(make_result(5, view=False))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_goes_away_in_mid_run_is_a_sink_error(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    sink = ImageFolderSink(folder)
    folder.write_text("in the way")
    with pytest.raises(SinkError, match="cannot write"):
        sink.publish(make_result())


def test_a_folder_that_is_removed_is_not_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    sink = ImageFolderSink(folder)
    sink.publish(make_result(0))
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SinkError, match=r"frames was removed or replaced while it was written"):
        sink.publish(make_result(1))
    folder.mkdir()
    with pytest.raises(SinkError, match=r"frames was removed or replaced while it was written"):
        sink.publish(make_result(2))
    assert not list(folder.iterdir())


def test_a_place_that_is_gone_before_the_first_picture_is_not_made_again(tmp_path: Path) -> None:
    """As a memory stick that is pulled out while the engine loads."""
    (tmp_path / "stick").mkdir()
    sink = ImageFolderSink(tmp_path / "stick" / "frames")
    (tmp_path / "stick").rename(tmp_path / "pulled")
    (tmp_path / "stick").mkdir()
    with pytest.raises(SinkError, match=r"stick was removed or replaced"):
        sink.publish(make_result(0))
    assert not list((tmp_path / "stick").iterdir())


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_pictures_keep_to_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        ImageFolderSink(tmp_path / "frames").publish(make_result(0))
    finally:
        os.umask(before)
    assert (tmp_path / "frames" / "000000.jpg").stat().st_mode & 0o777 == 0o666 & ~umask


def of_file(name: str, **options: Any) -> Result:
    result = make_result(7, **options)
    return replace(result, frame=replace(result.frame, file=name))


def test_of_two_nodes_that_begin_with_one_folder_the_later_says_so_once(tmp_path: Path) -> None:
    first, second = ImageFolderSink(tmp_path / "pics"), ImageFolderSink(tmp_path / "pics")
    first.publish(make_result())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(SinkError, match="is being written by another program"):
            second.publish(make_result())
    second.close(Totals())
    assert len(os.listdir("/proc/self/fd")) == before
    first.close(Totals())


def test_pictures_keep_their_names_and_sub_folders(tmp_path: Path) -> None:
    sink = ImageFolderSink(tmp_path / "out")
    names = ["aachen/aachen_000000_000019_leftImg8bit.png", "a.b.jpg", "a.b.png", "plain.tif"]
    for name in 3 * names:  # as with --loop
        sink.publish(of_file(name))
    sink.close(Totals())
    written = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    expected = {"aachen/aachen_000000_000019_leftImg8bit.jpg", "a.b.jpg", "a.b.png.jpg", "plain.jpg"}
    assert written == expected


@pytest.mark.parametrize(("size", "shape"), [("engine", (24, 32)), ("source", (48, 64))])
def test_masks_have_the_size_that_is_asked_for(tmp_path: Path, size: str, shape: tuple[int, int]) -> None:
    sink = ImageFolderSink(tmp_path, visualize="mask", mask_size=size)
    result = of_file("city/a.jpg", view=False)
    sink.publish(result)
    ids = np.array(Pillow.open(tmp_path / "city" / "a.png"))
    assert ids.shape == shape
    assert set(np.unique(ids)) == set(np.unique(result.classmap.ids))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_one_picture_in_the_format_of_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"new/street{suffix}"
    sink = open_sink(path, fps=0, visualize="overlay")
    sink.publish(make_result(3))
    assert np.abs(cv2.imread(str(path)).astype(int) - (40, 90, 200)).max() < 8
    with pytest.raises(SinkError, match=r"a second frame for the picture .*street.*--max-frames 1"):
        sink.publish(make_result(4))


def test_one_mask_is_a_png_of_ids_and_nothing_is_written_over(tmp_path: Path) -> None:
    for _ in range(2):
        open_sink(tmp_path / "ids.png", fps=0, visualize="mask", mask_size="source").publish(make_result(view=False))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ids-2.png", "ids.png"]
    assert np.array(Pillow.open(tmp_path / "ids.png")).shape == (48, 64)
    with pytest.raises(UsageError, match=r"class ids as \.jpg; expected --out FILE\.png"):
        open_sink(tmp_path / "ids.jpg", fps=0, visualize="mask")
