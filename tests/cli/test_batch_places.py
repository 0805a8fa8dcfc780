"""Where the outputs of a batch lie: within --out, each video's apart, never read as videos, and told where damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from batch_parts import clip
from cli_parts import call
from onnx_models import palette_model

from drivenet.batch.plan import plan
from drivenet.batch.run import MANIFEST
from drivenet.errors import UsageError
from drivenet.labels import CITYSCAPES

pytest.importorskip("pyarrow", reason="pyarrow (extra [batch]) is not installed")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model and a video beside it, one in the folder above, and one in a folder that bears a video's name."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    palette_model(work, "city", CITYSCAPES)
    first = clip(work / "a.mkv", 0, frames=4)
    for place in (tmp_path / "above.mkv", work / "a" / "00000.mkv"):
        place.parent.mkdir(exist_ok=True)
        shutil.copy(first, place)
    return work


def batch(*videos: str, out: str = "out") -> int:
    return call("batch", *videos, "--out", out, "--engine", "city.onnx", "--backend", "onnxruntime")


def test_videos_of_folders_above_have_their_outputs_in_out(here: Path) -> None:
    """``..`` in a path led out of the output folder: results lay beside the videos."""
    assert batch("a.mkv", "../above.mkv") == 0
    found = sorted(str(file.parent.relative_to(here.parent)) for file in here.parent.rglob("segment.json"))
    assert found == ["work/out/above/00000", "work/out/work/a/00000"]


def test_one_video_named_in_two_ways_is_done_once(here: Path) -> None:
    assert batch("a.mkv", "../work/a.mkv", str(here / "a.mkv")) == 0
    assert len((here / "out" / MANIFEST).read_text().splitlines()) == 1


def test_another_video_behind_a_link_is_not_taken_for_the_same(here: Path) -> None:
    """``link/..`` is the folder above the one that the link leads to: one of the two was left out without a word."""
    (here.parent / "a.mkv").symlink_to(here / "a.mkv")
    (here / "link").symlink_to(here)
    with pytest.raises(UsageError, match="two files named 'a'"):
        plan([here / "a.mkv", here / "link/../a.mkv"])
    assert batch("a.mkv", "link/../a.mkv") == UsageError.exit_code
    assert batch("a.mkv", "link/a.mkv") == 0
    assert len((here / "out" / MANIFEST).read_text().splitlines()) == 1


def test_a_glob_passes_over_what_an_earlier_run_has_written(here: Path) -> None:
    """The same command once more took its own class maps for videos."""
    for _ in range(2):
        assert batch("**/[ac]*.mkv") == 0
    assert [file.parent.name for file in here.rglob("segment.json")] == ["00000"]


def test_outputs_may_lie_beside_the_videos(here: Path) -> None:
    for _ in range(2):
        assert batch("*.mkv", out=".") == 0
    assert [str(file.relative_to(here)) for file in here.rglob("segment.json")] == ["a/00000/segment.json"]


def test_outputs_within_a_segment_of_another_video_are_told_before_anything_is_done(here: Path) -> None:
    with pytest.raises(UsageError, match=r"outputs of 'a/00000' within those of 'a'.*rename one"):
        plan([here / "a" / "00000.mkv", here / "a.mkv"])


@pytest.mark.parametrize("content", ["", "[]", '{"fil'])
def test_a_segment_whose_facts_are_damaged_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """A power cut may leave an empty file: the next run ended with a traceback."""
    assert batch("a.mkv") == 0
    (here / "out/a/00000/segment.json").write_text(content)
    capsys.readouterr()
    assert batch("a.mkv") == 2
    told = capsys.readouterr().err
    assert "segment.json" in told
    assert told.endswith("delete the folder out/a/00000, which is then done again\n")
    assert told.count("\n") == 1
    shutil.rmtree(here / "out/a/00000")
    assert batch("a.mkv") == 0
