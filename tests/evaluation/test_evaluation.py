"""Evaluation of real ONNX models on pictures whose scores are known beforehand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx_models import SIZE, paint, palette_model

from drivenet.classmap import Ids
from drivenet.data import open_dataset
from drivenet.data.base import Dataset, Sample
from drivenet.engine import open_engine
from drivenet.engine.laned import open_for_many
from drivenet.errors import SourceError
from drivenet.evaluation import GROUP_LABELS, Scored, evaluate
from drivenet.labels import CAMVID, CITYSCAPES, GROUPS, LabelSet

CASES = {"road": ("Road", "road"), "vehicle": ("Car", "bus"), "pedestrian": ("Pedestrian", "person")}


class Painted(Dataset):
    """Pictures painted in the colours of a label set, with the truth they are given."""

    name, split = "painted", "val"

    def __init__(self, labels: LabelSet, pairs: list[tuple[Ids, Ids]], colours: LabelSet | None = None) -> None:
        self.labels, self.pairs, self.colours = labels, pairs, colours or labels

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        shown, truth = self.pairs[index]
        return Sample(paint(shown, self.colours), truth, f"painted {index}")


def halves(left: int, right: int, size: tuple[int, int] = SIZE) -> Ids:
    ids = np.full(size, left, np.uint8)
    ids[:, size[1] // 2 :] = right
    return ids


def test_a_right_engine_scores_one_at_any_picture_size(tmp_path: Path) -> None:
    engine = open_engine(palette_model(tmp_path), "onnxruntime")
    pairs = [(ids, ids) for ids in (halves(3, 8), halves(0, 3, (64, 96)), halves(8, 9, (240, 360)))]
    seen: list[tuple[int, int]] = []
    report = evaluate(engine, Painted(CAMVID, pairs), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    out = report.to_dict()
    assert (out["miou"], out["pixel_accuracy"], out["images"], out["compared_on"]) == (1.0, 1.0, 3, "classes")
    assert out["groups"] == {"road": 1.0, "sign": None, "pedestrian": 1.0, "vehicle": 1.0}
    assert out["iou"] == {c: 1.0 if c in ("Sky", "Road", "Car", "Pedestrian") else None for c in CAMVID.classes}
    assert out["boundary"]["mean"] == 1.0  # type: ignore[index]
    assert out["boundary"]["f_score"] == out["iou"]  # type: ignore[index]
    assert out["engine"] == engine.describe()
    assert out["dataset"] == {"name": "painted", "split": "val", "labels": "camvid"}


def test_lanes_change_no_score(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    pairs = [(rng.integers(0, 11, SIZE, np.uint8), rng.integers(0, 11, SIZE, np.uint8)) for _ in range(9)]
    file, seen = str(palette_model(tmp_path)), list[str]()
    scores = []
    for threads in (1, 3):
        engine = open_for_many(file, "onnxruntime", "auto", threads)
        report = evaluate(engine, Painted(CAMVID, pairs), visit=lambda scored: seen.append(scored.sample.name))
        engine.close()
        assert engine.lanes == threads
        scores.append({name: value for name, value in report.to_dict().items() if name != "engine"})
    assert scores[0] == scores[1]
    assert seen == 2 * [f"painted {i}" for i in range(9)]


def test_scores_are_those_of_one_matrix_over_all_pixels(tmp_path: Path) -> None:
    engine = open_engine(palette_model(tmp_path), "onnxruntime")
    truth = halves(3, 3)
    truth[: SIZE[0] // 2] = 255  # half of the second picture has no truth
    report = evaluate(engine, Painted(CAMVID, [(halves(3, 8), halves(3, 3)), (halves(3, 3), truth)]))
    # 1.5 pictures of road, half a picture of them called car.
    assert report.to_dict()["iou"]["Road"] == round(2 / 3, 5)  # type: ignore[index]
    assert report.to_dict()["iou"]["Car"] == 0.0  # type: ignore[index]
    assert report.miou == pytest.approx(1 / 3)
    assert report.group_miou == pytest.approx(1 / 3)
    assert report.pixel_accuracy == pytest.approx(2 / 3)
    assert report.matrix.counts.sum() == SIZE[0] * SIZE[1] * 1.5
    confusion = report.to_dict()["confusion"]
    assert confusion["names"] == list(CAMVID.classes)  # type: ignore[index]
    assert confusion["truth_by_prediction"] == report.matrix.counts.tolist()  # type: ignore[index]


def test_other_classes_are_compared_on_groups_and_the_report_says_so(tmp_path: Path) -> None:
    # Cityscapes pictures, painted so that a CamVid engine sees its own colours for the same groups.
    engine = open_engine(palette_model(tmp_path), "onnxruntime")
    pairs = []
    for left, right in (("road", "vehicle"), ("pedestrian", "road")):
        shown = halves(CAMVID.id_of(CASES[left][0]), CAMVID.id_of(CASES[right][0]))
        truth = halves(CITYSCAPES.id_of(CASES[left][1]), CITYSCAPES.id_of(CASES[right][1]))
        truth[0] = 255
        pairs.append((shown, truth))
    report = evaluate(engine, Painted(CITYSCAPES, pairs, CAMVID))
    out = report.to_dict()
    assert out["compared_on"] == "groups"
    assert "iou" not in out
    assert out["miou"] is None
    assert math.isnan(report.miou)
    assert out["group_miou"] == out["pixel_accuracy"] == 1.0
    assert out["groups"] == {"road": 1.0, "sign": None, "pedestrian": 1.0, "vehicle": 1.0}
    assert out["confusion"]["names"] == list(GROUPS)  # type: ignore[index]
    assert report.matrix.counts.sum() == 2 * (SIZE[0] - 1) * SIZE[1]


def test_the_same_classes_in_other_colours_are_the_same_classes(tmp_path: Path) -> None:
    grey = LabelSet("grey", CAMVID.classes, tuple((i, i, i) for i in range(11)), CAMVID.groups)
    engine = open_engine(palette_model(tmp_path, labels=grey), "onnxruntime")
    ids = halves(3, 8)
    report = evaluate(engine, Painted(CAMVID, [(ids, ids)], grey))
    assert (report.compared_on, report.miou) == ("classes", 1.0)


def test_json_holds_no_nan_when_there_is_no_truth(tmp_path: Path) -> None:
    nothing = np.full(SIZE, 255, np.uint8)
    out = evaluate(
        open_engine(palette_model(tmp_path), "onnxruntime"), Painted(CAMVID, [(halves(3, 8), nothing)])
    ).to_dict()
    assert json.loads(json.dumps(out, allow_nan=False))["miou"] is None
    assert out["pixel_accuracy"] is None
    assert out["group_miou"] is None


def test_every_picture_can_be_visited_with_its_own_score(tmp_path: Path) -> None:
    engine = open_engine(palette_model(tmp_path), "onnxruntime")
    pairs = [(halves(3, 8), halves(3, 8)), (halves(3, 8), halves(3, 3)), (halves(3, 8), np.full(SIZE, 255, np.uint8))]
    seen: list[Scored] = []
    report = evaluate(engine, Painted(CAMVID, pairs), visit=seen.append)
    assert [s.miou for s in seen] == pytest.approx([1.0, 0.25, math.nan], nan_ok=True)
    assert sum(int((s.truth != 255).sum()) for s in seen) == report.matrix.counts.sum()
    assert all(s.predicted.shape == SIZE and s.labels == CAMVID for s in seen)


def test_no_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="painted val holds no pictures"):
        evaluate(open_engine(palette_model(tmp_path), "onnxruntime"), Painted(CAMVID, []))


def test_scores_files_in_camvids_layout(tmp_path: Path) -> None:
    ids = halves(3, 8)
    for folder, picture in (("test", paint(ids)), ("testannot", ids)):
        (tmp_path / folder).mkdir()
        assert cv2.imwrite(str(tmp_path / folder / "one.png"), picture)
    report = evaluate(open_engine(palette_model(tmp_path), "onnxruntime"), open_dataset("camvid", tmp_path, "test"))
    assert report.miou == 1.0


def test_the_null_engine_can_be_scored() -> None:
    report = evaluate(open_engine(None, "null"), Painted(CAMVID, [(halves(3, 8), halves(3, 8))]))
    assert 0 < report.pixel_accuracy < 0.5


def test_groups_are_a_label_set_of_their_own() -> None:
    assert GROUP_LABELS.classes == GROUPS
    assert all(GROUP_LABELS.groups[g] == g for g in GROUPS)
