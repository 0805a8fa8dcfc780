"""A layout of one's own is entered in one table: eval, suites and trainings take it by its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx_models import SIZE, paint, palette_model

from drivenet.labels import CITYSCAPES

#: Pictures and labels side by side in one folder.
MODULE = """
from drivenet.data.pairs import Pair, PairDataset, class_ids, match
from drivenet.labels import IGNORE_ID

def open_beside(root, split, labels=None):
    truths = {f.stem: f for f in root.glob(f"{split}-*.label.png")}
    images = {f"{f.stem}.label": f for f in root.glob(f"{split}-?.png")}
    values = class_ids(labels, IGNORE_ID)
    return PairDataset("beside", split, labels, [Pair(i, t, values) for i, t in match(images, truths, str(root))])
"""
#: What the two lines in drivenet/data do.
COMMAND = """
import drivenet.data
drivenet.data.DATASETS["beside"] = "beside:open_beside"
drivenet.data.WITHOUT_LABEL_SET += ("beside",)
from drivenet.cli import main
main()
"""
LABELS = """
name: mine
classes:
- {name: way, colour: [1, 2, 3], group: road}
- {name: rest, colour: [4, 5, 6]}
"""
ROAD = CITYSCAPES.id_of("road")
MAPPING = {
    "dataset": "mine",
    "model": "cityscapes",
    "members": {"way": ["road"], "rest": [c for c in CITYSCAPES.classes if c != "road"]},
}
TRAINING = """
name: own
model: {architecture: bisenetv2, options: {width: 0.25, semantic: 0.5, head: 16}}
labels: mine.yaml
data: [{dataset: beside, root: data, labels: mine.yaml}]
augment: {crop: [64, 96], hills: 0}
input: [64, 96]
batch: 2
iterations: 1
validate_every: 1
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the layout, its files, and a model of Cityscapes' classes that finds the road below."""
    (tmp_path / "beside.py").write_text(MODULE)
    (tmp_path / "mine.yaml").write_text(LABELS)
    (tmp_path / "mapping.yaml").write_text(json.dumps(MAPPING))
    (tmp_path / "train.yaml").write_text(TRAINING)
    palette_model(tmp_path, "city", CITYSCAPES)
    ids = np.full(SIZE, CITYSCAPES.id_of("sky"), np.uint8)
    ids[SIZE[0] // 2 :] = ROAD
    (tmp_path / "data").mkdir()
    for name in ("train-0", "train-1", "val-0"):
        assert cv2.imwrite(str(tmp_path / f"data/{name}.png"), paint(ids, CITYSCAPES))
        assert cv2.imwrite(str(tmp_path / f"data/{name}.label.png"), (ids != ROAD).astype(np.uint8))
    return tmp_path


def drivenet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(folder), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_it_is_scored_with_labels_and_a_mapping(here: Path) -> None:
    how = ("--labels", "mine.yaml", "--mapping", "mapping.yaml", "--json", "scores.json")
    done = drivenet(here, "eval", "city.onnx", "--dataset", "beside", "--root", "data", *how)
    assert done.returncode == 0, done.stderr
    scores = json.loads((here / "scores.json").read_text())
    assert scores["iou"] == {"way": 1.0, "rest": 1.0}
    assert scores["dataset"] == {"name": "beside", "split": "val", "labels": "mine"}


def test_help_and_errors_name_it(here: Path) -> None:
    assert "|beside mean" in " ".join(drivenet(here, "eval", "--help").stdout.split())
    for folder in ("val", "valannot"):
        (here / folder).mkdir()
        assert cv2.imwrite(str(here / folder / "0.png"), np.zeros(SIZE, np.uint8))
    done = drivenet(here, "eval", "city.onnx", "--dataset", "camvid", "--root", ".", "--labels", "mine.yaml")
    assert "labels mine for camvid; expected its own, camvid, or none; leave labels out" in done.stderr
    assert "|beside mean" in done.stderr


def test_a_suite_holds_it(here: Path) -> None:
    row = "{name: own, dataset: %s, root: data, labels: mine.yaml, mapping: mapping.yaml}"
    (here / "suite.yaml").write_text(f"sets: [{row % 'beside'}]")
    done = drivenet(here, "eval", "city.onnx", "--suite", "suite.yaml")
    assert done.returncode == 0, done.stderr
    (here / "suite.yaml").write_text(f"sets: [{row % 'besides'}]")
    done = drivenet(here, "eval", "city.onnx", "--suite", "suite.yaml")
    assert "sets.0.dataset: must be 'camvid', " in done.stderr
    assert "'beside', got 'besides'" in done.stderr


@pytest.mark.skipif(find_spec("torch") is None, reason="torch (extra [train]) is not installed")
def test_a_training_learns_from_it(here: Path) -> None:
    done = drivenet(here, "train", "--config", "train.yaml", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert (here / "run/best.pt").is_file()
