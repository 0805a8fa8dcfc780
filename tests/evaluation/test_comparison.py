"""Engines on data sets with other classes: mapped onto the data set's own, or reduced to groups that both can tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_models import SIZE, paint, palette_model

from drivenet.classmap import Ids
from drivenet.data.base import Dataset, Sample
from drivenet.engine import open_engine
from drivenet.errors import UsageError
from drivenet.evaluation import evaluate
from drivenet.evaluation.comparison import compare
from drivenet.label_mapping import LabelMapping
from drivenet.labels import CAMVID, CITYSCAPES, GROUPS, IDDLITE, LabelSet


class Shown(Dataset):
    """One picture in the colours of the engine's classes, with the truth of a data set, left half and right half."""

    name, split = "shown", "val"

    def __init__(self, model: LabelSet, seen: tuple[str, str], labels: LabelSet, truth: tuple[str, str]) -> None:
        self.labels = labels
        self.sample = Sample(
            paint(_halves(*map(model.id_of, seen)), model), _halves(*map(labels.id_of, truth)), "one picture"
        )

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return self.sample


def _halves(left: int, right: int) -> Ids:
    ids = np.full(SIZE, left, np.uint8)
    ids[:, SIZE[1] // 2 :] = right
    return ids


@pytest.mark.parametrize(
    ("labels", "seen", "truth"),
    [
        (CAMVID, ("truck", "bicycle"), ("Car", "Bicyclist")),
        (CAMVID, ("wall", "traffic light"), ("Fence", "SignSymbol")),
        (IDDLITE, ("rider", "motorcycle"), ("living things", "vehicles")),
        (IDDLITE, ("traffic sign", "vegetation"), ("roadside objects", "far objects")),
    ],
)
def test_any_member_of_a_label_is_right(
    tmp_path: Path, labels: LabelSet, seen: tuple[str, str], truth: tuple[str, str]
) -> None:
    engine = open_engine(palette_model(tmp_path, labels=CITYSCAPES), "onnxruntime")
    report = evaluate(engine, Shown(CITYSCAPES, seen, labels, truth))
    out = report.to_dict()
    assert (out["compared_on"], out["miou"], out["compared_at"]) == ("classes", 1.0, list(SIZE))
    assert {name for name, iou in out["iou"].items() if iou == 1.0} == set(truth)  # type: ignore[attr-defined]
    assert out["group_miou"] in (1.0, None)


def test_a_group_that_a_data_set_does_not_have_is_in_no_mean(tmp_path: Path) -> None:
    """A sign at the roadside of IDD-Lite is roadside, and nothing is held against signs."""
    engine = open_engine(palette_model(tmp_path, labels=CITYSCAPES), "onnxruntime")
    report = evaluate(engine, Shown(CITYSCAPES, ("road", "traffic sign"), IDDLITE, ("drivable", "roadside objects")))
    assert report.matrix.group_iou()["road"] == report.group_miou == 1.0
    camvid = open_engine(palette_model(tmp_path, "camvid"), "onnxruntime")
    report = evaluate(camvid, Shown(CAMVID, ("Road", "SignSymbol"), IDDLITE, ("drivable", "roadside objects")))
    assert report.compared_on == "groups"
    assert report.group_miou == report.pixel_accuracy == 1.0


def test_what_a_model_cannot_tell_is_not_counted(tmp_path: Path) -> None:
    """CamVid's Bicyclist is rider and bicycle: pedestrian there, pedestrian and vehicle in Cityscapes."""
    engine = open_engine(palette_model(tmp_path), "onnxruntime")
    report = evaluate(engine, Shown(CAMVID, ("Bicyclist", "Bicyclist"), CITYSCAPES, ("bicycle", "rider")))
    assert report.matrix.pixels == SIZE[0] * SIZE[1] // 2
    assert report.matrix.group_iou()["pedestrian"] == report.group_miou == 1.0


def test_a_class_of_the_model_that_the_data_set_lacks_is_wrong_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("dataset: mine\nmodel: cityscapes\nmembers: {lane: [road], sky: [sky], beast: []}\n")
    groups = {"lane": "road", "sky": "background", "beast": "background"}
    mine = LabelSet("mine", tuple(groups), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), groups)
    engine = open_engine(palette_model(tmp_path, labels=CITYSCAPES), "onnxruntime")
    mapping = LabelMapping.of(mine, CITYSCAPES, file)
    report = evaluate(engine, Shown(CITYSCAPES, ("road", "car"), mine, ("lane", "lane")), mapping=mapping)
    assert report.matrix.iou()["lane"] == report.pixel_accuracy == 0.5
    assert report.matrix.unlabelled.tolist() == [SIZE[0] * SIZE[1] // 2, 0, 0]
    report = evaluate(engine, Shown(CITYSCAPES, ("road", "car"), mine, ("lane", "beast")), mapping=mapping)
    assert report.miou == 1.0, "what the model cannot know is left out"


def test_a_mapping_with_a_class_in_two_places_scores_nothing() -> None:
    overlapping = LabelMapping(IDDLITE, CITYSCAPES, (frozenset({0}), frozenset({0, 1}), *[frozenset[int]()] * 5))
    with pytest.raises(UsageError, match="gives a class of cityscapes two places"):
        compare(CITYSCAPES, IDDLITE, overlapping)


@pytest.mark.parametrize("labels", [CAMVID, CITYSCAPES, IDDLITE], ids=lambda labels: labels.name)
def test_the_group_rule_is_one(labels: LabelSet) -> None:
    """Riders are pedestrians and two-wheelers vehicles, whether a model is compared by classes or by groups."""
    rule = {"rider": "pedestrian", "person": "pedestrian", "bicycle": "vehicle", "motorcycle": "vehicle"}
    assert {name: CITYSCAPES.groups[name] for name in rule} == rule
    common = compare(CITYSCAPES, labels)
    for i, group in enumerate(CITYSCAPES.group_table[:19]):
        name = CITYSCAPES.classes[i]
        got = common.labels.groups[common.labels.classes[common.predicted[i]]]
        known = bool(labels.ids_of_group(GROUPS[group]))
        cyclist = labels is CAMVID and name in ("bicycle", "motorcycle")
        assert got == ("pedestrian" if cyclist else GROUPS[group] if known else "background"), name
