"""Confidence against truth: figures known beforehand, the formula of the paper in plain loops, and a real engine."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from onnx_models import SIZE, palette_model, sure_model, sure_of

from drivenet.classmap import Ids
from drivenet.data.base import Dataset, Sample
from drivenet.engine import open_engine
from drivenet.errors import UsageError
from drivenet.evaluation import evaluate
from drivenet.evaluation.calibration import BINS, THRESHOLDS, Calibration
from drivenet.labels import CAMVID, CITYSCAPES, LabelSet
from drivenet.prepare import prepare, resize_ids


def counted(*pixels: tuple[int, int, int]) -> Calibration:
    """Of (confidence in 255ths, how many pixels, how many of them right), as one row of a picture."""
    levels = np.concatenate([np.full(count, level, np.uint8) for level, count, _ in pixels])[None]
    right = np.concatenate([np.arange(count) < good for _, count, good in pixels])[None]
    out = Calibration()
    out.add(np.zeros(levels.shape, np.uint8), np.where(right, 0, 1).astype(np.uint8), levels, 2)
    return out


def test_confidence_that_holds_what_it_says_has_no_error() -> None:
    """Of pixels with 40 % confidence 40 % are right, and so on."""
    exact = counted((102, 100, 40), (204, 50, 40), (255, 30, 30))
    assert exact.ece() == pytest.approx(0, abs=1e-12)
    assert exact.mean == pytest.approx((40 + 40 + 30) / 180)


@pytest.mark.parametrize(
    ("pixels", "error"),
    [
        (((255, 100, 50),), 0.5),
        (((255, 100, 0),), 1.0),
        (((51, 40, 40),), 0.8),
        (((102, 100, 50), (204, 300, 210)), 0.25 * 0.1 + 0.75 * 0.1),
        (((204, 10, 10), (203, 10, 6)), abs(0.8 - 407 / 510)),  # of one bin: its mean counts
    ],
)
def test_known_errors(pixels: tuple[tuple[int, int, int], ...], error: float) -> None:
    assert counted(*pixels).ece() == pytest.approx(error)


def test_the_formula_of_the_paper_in_plain_loops() -> None:
    rng = np.random.default_rng(1)
    levels = rng.integers(0, 256, 3000)
    right = rng.random(3000) < (levels / 255) ** 2
    found = Calibration()
    for part in np.array_split(np.arange(3000), 4):  # several pictures are one count
        found.add(np.zeros((1, len(part)), np.uint8), (~right[part]).astype(np.uint8)[None],
                  levels[part].astype(np.uint8)[None], 2)  # fmt: skip
    expected = 0.0
    for m in range(1, BINS + 1):
        inside = [i for i in range(3000) if (m - 1) / BINS < levels[i] / 255 <= m / BINS or (m == 1 and not levels[i])]
        accuracy = sum(bool(right[i]) for i in inside) / len(inside)
        confidence = sum(levels[i] / 255 for i in inside) / len(inside)
        one = found.bins()[m - 1]
        assert (one.count, one.accuracy) == (len(inside), pytest.approx(accuracy))
        assert one.confidence == pytest.approx(confidence)
        expected += len(inside) / 3000 * abs(accuracy - confidence)
    assert found.ece() == pytest.approx(expected)
    assert found.right == pytest.approx(np.mean(levels[right] / 255))
    assert found.wrong == pytest.approx(np.mean(levels[~right] / 255))
    for kept in found.kept():
        chosen = levels / 255 >= kept.threshold
        assert kept.share == pytest.approx(chosen.mean())
        assert kept.accuracy == pytest.approx(right[chosen].mean())


def test_bounds_belong_to_the_bin_below() -> None:
    bins = counted((0, 1, 0), (17, 2, 0), (18, 4, 0), (238, 8, 0), (239, 16, 0), (255, 32, 0)).bins()
    assert {i: b.count for i, b in enumerate(bins) if b.count} == {0: 3, 1: 4, 13: 8, 14: 48}
    assert (bins[0].low, bins[-1].high, len(bins)) == (0, 1, 15)


def test_pixels_without_truth_count_nowhere() -> None:
    truth = np.array([[0, 255, 1, 11]], np.uint8)
    found = Calibration()
    found.add(truth, np.zeros((1, 4), np.uint8), np.array([[255, 10, 102, 9]], np.uint8), 11)
    assert (found.pixels, found.right, found.wrong) == (2, 1.0, pytest.approx(0.4))
    with pytest.raises(UsageError, match="equal shapes"):
        found.add(truth, truth, truth[:, :2], 11)


def test_nothing_counted_is_null_in_json() -> None:
    out = json.loads(json.dumps(Calibration().to_dict(), allow_nan=False))
    assert (out["pixels"], out["ece"], out["right"], out["wrong"], out["mean"]) == (0, None, None, None, None)
    assert [b["count"] for b in out["bins"]] == [0] * BINS
    assert out["kept"] == [{"threshold": t, "share": None, "accuracy": None} for t in THRESHOLDS]
    assert math.isnan(Calibration().ece())


class Noisy(Dataset):
    """Pictures of noise of several sizes, with truth that is noise as well, some of it unknown."""

    name, split = "noisy", "val"
    SIZES = (SIZE, (64, 96), (40, 50))

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.SIZES)

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        truth = rng.integers(0, len(self.labels), self.SIZES[index], np.uint8)
        truth[rng.random(truth.shape) < 0.2] = 255
        return Sample(rng.integers(0, 256, (*truth.shape, 3), np.uint8), truth, f"noise {index}")


def meanings(ids: Ids, labels: LabelSet, compared_on: str) -> list[str]:
    """The class or group of each pixel, empty without truth, or where CamVid's cyclists hold what is asked for."""
    unknown = ("motorcycle", "bicycle")
    names = ["" if i == 255 or labels.classes[i] in unknown else labels.classes[i] for i in ids.ravel()]
    return names if compared_on == "classes" else [labels.groups.get(name, "") for name in names]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("labels", [CAMVID, CITYSCAPES], ids=["classes", "groups"])
def test_a_real_engine_on_its_own_classes_and_on_groups(tmp_path: Path, labels: LabelSet, backend: str) -> None:
    """At the size of the labels, right or wrong as the confusion matrix has it."""
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    engine, data = open_engine(sure_model(tmp_path), backend), Noisy(labels)
    report = evaluate(engine, data)
    out = report.to_dict()["confidence"]
    good: list[float] = []
    bad: list[float] = []
    for sample in (data[i] for i in range(len(data))):
        size = (sample.ids.shape[0], sample.ids.shape[1])
        image = prepare(sample.image, SIZE)
        levels = resize_ids(np.round(255 * sure_of(image)).astype(np.uint8), size).ravel()
        ids = resize_ids(engine.infer(image), size)
        ours, theirs = meanings(ids, CAMVID, report.compared_on), meanings(sample.ids, labels, report.compared_on)
        for level, one, other in zip(levels, ours, theirs, strict=True):
            if other:
                (good if one == other else bad).append(level / 255)
    assert out["pixels"] == len(good) + len(bad) == report.matrix.counts.sum()  # type: ignore[index]
    assert len(good) / (len(good) + len(bad)) == pytest.approx(report.pixel_accuracy)
    assert out["right"] == pytest.approx(np.mean(good), abs=1e-4)  # type: ignore[index]
    assert out["wrong"] == pytest.approx(np.mean(bad), abs=1e-4)  # type: ignore[index]
    assert report.compared_on == ("classes" if labels == CAMVID else "groups")


@pytest.mark.parametrize("backend", ["onnxruntime", "null"])
def test_an_engine_without_it_has_no_confidence_in_its_report(tmp_path: Path, backend: str) -> None:
    report = evaluate(open_engine(palette_model(tmp_path), backend), Noisy(CAMVID))
    assert report.calibration is None
    assert "confidence" not in report.to_dict()
