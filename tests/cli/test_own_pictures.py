"""Folders of one's own: names, sub-folders, sizes of masks, chosen classes and zones, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cli_parts import call

NULL = ("--backend", "null", "--headless")
NAME = "aachen_000000_000019_leftImg8bit.png"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (f"city/aachen/{NAME}", "city/bonn/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(tmp_path / name), np.full((90, 160, 3), 90, np.uint8))
    return tmp_path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_masks_are_named_as_the_pictures_and_fit_them(here: Path) -> None:
    args = ("--out", "masks/", "--visualize", "mask", "--mask-size", "source", "--stats", "s.jsonl")
    assert call("run", "city", *NULL, *args) == 0
    written = sorted(p.relative_to("masks").as_posix() for p in Path("masks").rglob("*.png"))
    assert written == [f"aachen/{NAME}", "bonn/b.png"]
    assert cv2.imread(f"masks/aachen/{NAME}").shape == (90, 160, 3)
    frames = [line for line in lines(here / "s.jsonl") if line["type"] == "frame"]
    assert [line["file"] for line in frames] == [f"aachen/{NAME}", "bonn/b.png"]
    assert all(line["unix_ns"] > 1.7e18 and "media_time_s" not in line for line in frames)


def test_a_video_has_media_times_and_no_file(here: Path) -> None:
    assert call("run", "city", *NULL, "--out", "a.mp4") == 0
    assert call("run", "a.mp4", *NULL, "--stats", "s.jsonl", "--out", "frames/") == 0
    frames = [line for line in lines(here / "s.jsonl") if line["type"] == "frame"]
    assert [line["media_time_s"] for line in frames] == pytest.approx([0.0, 0.04])
    assert not any("file" in line for line in frames)
    assert sorted(p.name for p in Path("frames").iterdir()) == ["000000.jpg", "000001.jpg"]


def test_a_rate_makes_no_video_of_single_pictures(here: Path) -> None:
    assert cv2.imwrite("city/bonn/upright.png", np.full((160, 90, 3), 90, np.uint8))
    assert call("run", "city", *NULL, "--rate", "100", "--stats", "s.jsonl", "--out", "out/") == 0
    *frames, summary = lines(here / "s.jsonl")
    assert [line["type"] for line in frames] == ["frame"] * 3  # another size is no event
    assert not any("id" in thing for line in frames for thing in line["things"])
    assert "source.resized" not in summary["events"]


@pytest.mark.parametrize("path", ["stats/", "s.mp4", "s.CSV"])
def test_statistics_are_no_video_and_no_folder(here: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "city", *NULL, "--stats", path) == 2
    assert f"--stats {path}; expected FILE.jsonl, or -" in capsys.readouterr().err
    assert not Path(path).exists()


def test_pictures_are_not_written_among_those_that_are_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "city", *NULL, "--out", "city/out/") == 2
    assert "output city/out/ is within city, which is read with its sub-folders" in capsys.readouterr().err
    assert call("run", "city/bonn/*.png", *NULL, "--out", "city/out/") == 0


def test_one_picture_for_one_frame(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", f"city/aachen/{NAME}", *NULL, "--out", "street.jpg") == 0
    assert cv2.imread("street.jpg").shape == (90, 160, 3)
    assert "wrote street.jpg" in capsys.readouterr().err
    assert call("run", "city", *NULL, "--out", "many.jpg") == 2
    assert "the picture many.jpg for 2 frames; expected a folder: many/" in capsys.readouterr().err
    assert call("run", "synthetic://96x64@30", *NULL, "--out", "many.jpg", "--max-frames", "3") == 2
    assert "the picture many.jpg for 3 frames" in capsys.readouterr().err
    assert call("run", "city", *NULL, "--out", "first.png", "--max-frames", "1") == 0
    assert Path("first.png").exists()


def test_chosen_classes_and_zones(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("z.yaml").write_text("zones:\n- {name: left, polygon: [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}\n")
    args = ("--engine", "fast", "--backend", "onnxruntime", "--headless", "--stats", "s.jsonl")
    assert call("run", "city", *args, "--classes", "road,vehicle", "--zones", "z.yaml") == 0
    for line in lines(here / "s.jsonl"):
        if line["type"] == "frame":
            assert set(line["classes"]) <= {"road", "car", "truck", "bus", "train", "motorcycle", "bicycle"}
            assert line["zones"]["left"]["fraction"] == pytest.approx(0.5, abs=0.02)
            assert {"classes", "zones"} <= set(line["stages_ms"])
    capsys.readouterr()
    assert call("run", "city", *args, "--classes", "raod") == 2
    assert "no class or group 'raod'; did you mean road?" in capsys.readouterr().err
