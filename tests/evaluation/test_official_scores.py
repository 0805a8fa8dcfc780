"""mIoU and iIoU against Cityscapes' official code, on random maps in its own files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from drivenet.classmap import Ids
from drivenet.data.panoptic_files import write_instance_ids
from drivenet.data.sequences.write import label_ids
from drivenet.evaluation.instance_iou import InstanceIoU
from drivenet.labels import CITYSCAPES
from drivenet.metrics import ConfusionMatrix
from drivenet.panoptic import CITYSCAPES_THINGS

MAPS, SHAPE = 200, (24, 40)


def random_map(rng: np.random.Generator) -> tuple[Ids, np.ndarray, Ids]:
    """Truth in boxes of all classes and none, numbered things, and a prediction that is often right."""
    truth = np.full(SHAPE, rng.integers(0, 19), np.uint8)
    instances = np.zeros(SHAPE, np.int32)
    for number in range(1, 9):
        y, x = rng.integers(0, SHAPE[0] - 6), rng.integers(0, SHAPE[1] - 6)
        part = np.s_[y : y + rng.integers(2, 7), x : x + rng.integers(2, 7)]
        truth[part] = rng.choice([255, *range(19)])
        instances[part] = number if rng.random() < 0.8 else 0
    noise = rng.integers(0, 19, SHAPE, np.uint8)
    noise[rng.random(SHAPE) < 0.2] = 255
    return truth, instances, np.where((rng.random(SHAPE) < 0.7) & (truth < 19), truth, noise).astype(np.uint8)


def test_the_official_code_agrees_on_200_random_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # NumPy 2.4 has the latter alone
    matrix, instances = ConfusionMatrix.empty(CITYSCAPES), InstanceIoU.empty(CITYSCAPES, CITYSCAPES_THINGS)
    rng = np.random.default_rng(11)
    predictions, truths = [], []
    for i in range(MAPS):
        truth, things, predicted = random_map(rng)
        matrix.add(truth, predicted)
        instances.add(truth, things, predicted)
        file = tmp_path / f"a_{i:06d}_000019_gtFine_labelIds.png"
        assert cv2.imwrite(str(file), label_ids(truth))
        write_instance_ids(tmp_path / file.name.replace("labelIds", "instanceIds"), truth, things)
        assert cv2.imwrite(str(tmp_path / f"a_{i:06d}_000019_pred.png"), label_ids(predicted))
        truths.append(str(file))
        predictions.append(str(tmp_path / f"a_{i:06d}_000019_pred.png"))
    args = official.args
    monkeypatch.setattr(args, "evalPixelAccuracy", False)
    monkeypatch.setattr(args, "quiet", True)
    monkeypatch.setattr(args, "JSONOutput", False)
    monkeypatch.setattr(official, "CSUPPORT", False)
    theirs = official.evaluateImgLists(predictions, truths, args)
    for name, iou in matrix.iou().items():
        assert iou == pytest.approx(theirs["classScores"][name], abs=1e-9)
    assert matrix.miou() == pytest.approx(theirs["averageScoreClasses"], abs=1e-9)
    for name, iou in instances.iou(matrix).items():
        assert iou == pytest.approx(theirs["classInstScores"][name], abs=1e-9)
    assert instances.mean(matrix) == pytest.approx(theirs["averageScoreInstClasses"], abs=1e-9)
    assert len(instances.things) == 8
