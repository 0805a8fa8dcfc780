"""Which sink a path names, and what it says to a path that names none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from drivenet import sinks
from drivenet.config import NodeSettings
from drivenet.engine import open_engine
from drivenet.errors import SinkError, UsageError
from drivenet.pipeline import Pipeline
from drivenet.result import Result, Totals
from drivenet.sinks import open_sink, sink_class
from drivenet.sinks.base import Sink
from drivenet.sinks.recording import RecordingFiles, RecordingSession
from drivenet.sinks.recording.synced_file import SyncedFile
from drivenet.sources import open_source
from tests.cli.cli_parts import call


@pytest.mark.parametrize(
    "uri", ["mqtt://h/caf\udce9", "mqtt://u\udce9:s3cret@h/t", "zenoh:///caf\udce9", "rtsp://h/\udce9"]
)
def test_an_address_in_another_encoding_is_told_in_a_line(uri: str) -> None:
    """As a terminal in Latin-1 sends it: buses take UTF-8 alone."""
    with pytest.raises(UsageError, match=r"expected an address in UTF-8") as caught:
        open_sink(uri, fps=0)
    assert "s3cret" not in str(caught.value)


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


def test_a_sink_shows_overlays_where_nothing_else_is_said(tmp_path: Path) -> None:
    source = open_source("synthetic://96x64@30?frames=1")
    Pipeline(source, open_engine(backend="null"), [open_sink(tmp_path / "said", fps=30)], policy="every").run()
    source = open_source("synthetic://96x64@30?frames=1")
    shown = open_sink(tmp_path / "shown", fps=30, visualize="overlay")
    Pipeline(source, open_engine(backend="null"), [shown], policy="every").run()
    (said,), (drawn,) = (tmp_path / "said").iterdir(), (tmp_path / "shown").iterdir()
    assert cv2.imread(str(said)).shape == cv2.imread(str(drawn)).shape == (64, 96, 3)


def test_only_masks_in_a_folder_need_no_view(tmp_path: Path) -> None:
    assert not open_sink(f"{tmp_path}/ids/", fps=30, visualize="mask").needs_view
    assert open_sink(f"{tmp_path}/ids.mp4", fps=30, visualize="mask").needs_view


@pytest.mark.parametrize("target", ["frames/", "out.mp4", "zenoh://127.0.0.1/cars"])
def test_a_view_that_does_not_exist_is_named_with_the_nearest(tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match=r"^no view 'masks'; did you mean mask\?$"):
        open_sink(target if "://" in target else f"{tmp_path}/{target}", fps=30, visualize="masks")


@pytest.mark.parametrize("target", ["drive.jsonl", "rec/DRIVE.JSON"])
def test_a_stats_file_among_the_outputs_is_told_its_option_and_class(target: str) -> None:
    with pytest.raises(UsageError, match=rf"--stats {target}, in Python drivenet\.sinks\.jsonl\.JsonlSink$"):
        open_sink(target, fps=0)
    assert sink_class("jsonl").__module__ == "drivenet.sinks.jsonl"


@pytest.mark.parametrize("target", ["out.avi", "a/b.txt", "", "-", "gopher://host/live"])
def test_any_other_target_is_a_usage_error_that_says_what_works(target: str) -> None:
    with pytest.raises(UsageError, match=r"expected FILE\.mp4, FILE\.mkv, .*FOLDER/ or an address"):
        open_sink(target, fps=30, visualize="overlay")


class Fractions(Sink):
    """One line a frame, as a file of one's own."""

    name, needs_view = "fractions", False

    def __init__(self, path: Path, *, session: RecordingSession | None = None) -> None:
        self._files = RecordingFiles(path, session or RecordingSession())
        self.target = str(self._files.target)
        self._file: SyncedFile | None = None

    def publish(self, result: Result) -> None:
        self._file = self._file or self._files.open(result)
        self._file.write(f"{result.scene.groups['road']:.3f}\n".encode())

    def close(self, totals: Totals) -> None:
        if self._file:
            self._file.close()
            self._files.closed()


def test_a_file_of_another_suffix_is_added_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sinks.KINDS, "fractions", f"{__name__}:Fractions")
    monkeypatch.setitem(sinks.SUFFIXES, ".frac", "fractions")
    run = ("run", "synthetic://96x64@30?frames=2", "--policy", "every", "--backend", "null", "--out")
    for _ in range(2):
        assert call(*run, f"{tmp_path}/a.frac") == 0
    assert "a.frac exists and stays: recording to" in capsys.readouterr().err
    assert [(tmp_path / name).read_text().count("\n") for name in ("a.frac", "a-2.frac")] == [2, 2]
    assert call(*run, f"{tmp_path}/a.frax") == 2
    assert "FILE.frac, FOLDER/ or an address" in capsys.readouterr().err


def test_every_output_that_ships_is_in_the_help_and_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")
    shown = str(NodeSettings.model_fields["out"].description)
    files = (*sinks.VIDEO_SUFFIXES, *sinks.SUFFIXES)
    kinds = {kind: next(s for s, k in sinks.SCHEMES.items() if k == kind) for kind in sinks.SCHEMES.values()}
    assert [part for part in (*files, *(f"{s}://" for s in kinds.values())) if part not in shown] == []
    assert [part for part in (*files, *(f"{s}://" for s in sinks.SCHEMES)) if part not in page] == []


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
