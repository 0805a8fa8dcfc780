"""Which sink a path names, and what it says to a path that names none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from drivenet.errors import SinkError, UsageError
from drivenet.result import Totals
from drivenet.sinks import open_sink, sink_class


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("out.mp4", "video"),
        ("OUT.MKV", "video"),
        ("new/deep/out.mp4", "video"),
        ("frames", "images"),
        ("frames.d/", "images"),
        ("there.mp4", "images"),
    ],
)
def test_a_path_names_its_sink_and_leaves_nothing_until_a_frame_comes(tmp_path: Path, target: str, kind: str) -> None:
    (tmp_path / "there.mp4").mkdir()
    text = f"{tmp_path}/{target}"
    sink = open_sink(text, fps=30, visualize="overlay")
    assert type(sink) is sink_class(kind)
    assert sink.needs_view
    sink.close(Totals())
    assert [p.name for p in tmp_path.iterdir()] == ["there.mp4"]


def test_only_masks_in_a_folder_need_no_view(tmp_path: Path) -> None:
    assert not open_sink(f"{tmp_path}/ids/", fps=30, visualize="mask").needs_view
    assert open_sink(f"{tmp_path}/ids.mp4", fps=30, visualize="mask").needs_view


@pytest.mark.parametrize("target", ["frames/", "out.mp4", "zenoh://127.0.0.1/cars"])
def test_a_view_that_does_not_exist_is_named_with_the_nearest(tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match=r"^no view 'masks'; did you mean mask\?$"):
        open_sink(target if "://" in target else f"{tmp_path}/{target}", fps=30, visualize="masks")


@pytest.mark.parametrize("target", ["out.avi", "a/b.txt", "", "-", "gopher://host/live"])
def test_any_other_target_is_a_usage_error_that_says_what_works(target: str) -> None:
    with pytest.raises(UsageError, match=r"expected FILE\.mp4, FILE\.mkv, FILE\.mcap, FOLDER/ or an address"):
        open_sink(target, fps=30, visualize="overlay")


@pytest.mark.parametrize("target", ["file/out.mp4", "file/frames/"])
def test_a_place_that_is_no_folder_is_a_sink_error_before_the_run(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SinkError, match=r"cannot write .*; name a place that is writable"):
        open_sink(f"{tmp_path}/{target}", fps=30, visualize="overlay")
    assert (tmp_path / "file").read_text() == "x"


def test_a_kind_that_does_not_exist_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no sink 'vidoe'; did you mean video"):
        sink_class("vidoe")


def test_a_full_disk_is_told_before_the_run(tmp_path: Path) -> None:
    code = """
import resource, sys
from drivenet.errors import SinkError
from drivenet.sinks import open_sink
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    open_sink(sys.argv[1], fps=30, visualize="overlay")
except SinkError as error:
    print(error)
"""
    for target in ("out.mp4", "frames/"):
        command = [sys.executable, "-c", code, f"{tmp_path}/{target}"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said.startswith(f"cannot write {tmp_path}")
    assert not list(tmp_path.iterdir())


def test_no_backend_is_imported_before_it_is_named() -> None:
    code = "import sys, drivenet.sinks; print('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
