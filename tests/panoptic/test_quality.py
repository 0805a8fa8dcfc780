"""Panoptic quality against Cityscapes' official code."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from panoptic_maps import LABELS, SHAPE, TABLE, THINGS, random_maps

from drivenet.errors import UsageError
from drivenet.labels import CAMVID, CITYSCAPES
from drivenet.panoptic import CITYSCAPES_THINGS, segments, thing_classes
from drivenet.panoptic.quality import PanopticQuality, add_tubes

PARTS = {"all": None, "things": True, "stuff": False}


def official(pairs: list[tuple[np.ndarray, np.ndarray]], folder: Path, parts: tuple[str, ...]) -> dict[str, tuple]:
    """What cityscapesScripts computes for pairs of segment maps: by part the means, and the rows by class."""
    evaluation = pytest.importorskip("cityscapesscripts.evaluation.evalPanopticSemanticLabeling")
    low, annotations = 1 << 16, []
    for i, pair in enumerate(pairs):
        entry = []
        for name, crowds, map_ in (("gt", True, pair[0]), ("pred", False, pair[1])):
            keys, inverse = np.unique(map_, return_inverse=True)
            small = np.arange(len(keys)) + (keys[0] != 0)  # 0 stays void
            image = np.zeros((*SHAPE, 3), np.uint8)
            image[..., 2] = small[inverse].reshape(SHAPE)  # OpenCV writes BGR: red is the low byte
            cv2.imwrite(str(folder / f"{name}{i}.png"), image)
            infos = [
                {"id": int(s), "category_id": int(k >> 16) - 1, "area": int(np.sum(map_ == k)),
                 "iscrowd": int(crowds and k % low == 0 and bool(TABLE[(k >> 16) - 1]))}
                for s, k in zip(small, keys, strict=True) if k
            ]  # fmt: skip
            entry.append({"image_id": i, "file_name": f"{name}{i}.png", "segments_info": infos})
        annotations.append(tuple(entry))
    categories = {i: {"isthing": int(TABLE[i])} for i in range(4)}
    stat = evaluation.pq_compute_single_core(0, annotations, str(folder), str(folder), categories)
    return {part: stat.pq_average(categories, PARTS[part]) for part in parts}


def test_the_official_code_agrees_on_240_random_maps(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    ours, pairs = PanopticQuality.empty(LABELS, THINGS), []
    for _ in range(240):
        ids, instances, predicted, found = random_maps(rng)
        pairs.append((segments(ids, instances, TABLE, crowds=True), segments(predicted, found, TABLE)))
        ours.add(*pairs[-1])
    theirs = official(pairs, tmp_path, tuple(PARTS))
    assert ours.counts[:, 1:].min() >= 20  # matches, false positives and false negatives of every class
    for part in ("all", "things", "stuff"):
        for key in ("pq", "sq", "rq"):
            assert ours.means()[part][key] == pytest.approx(theirs[part][0][key], abs=1e-9)
    for i, name in enumerate(LABELS.classes):
        for key in ("pq", "sq", "rq"):
            assert ours.by_class()[name][key] == pytest.approx(theirs["all"][1][i][key], abs=1e-9)


def test_single_images_agree_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        ids, instances, predicted, found = random_maps(rng)
        pair = segments(ids, instances, TABLE, crowds=True), segments(predicted, found, TABLE)
        ours = PanopticQuality.empty(LABELS, THINGS)
        ours.add(*pair)
        for i, row in official([pair], tmp_path, ("all",))["all"][1].items():
            mine = ours.by_class().get(LABELS.classes[i], {"pq": 0.0, "sq": 0.0, "rq": 0.0})
            assert {k: mine[k] for k in row} == pytest.approx(row, abs=1e-9)


def test_counts_add_up() -> None:
    rng = np.random.default_rng(7)
    one, two, both = (PanopticQuality.empty(LABELS, THINGS) for _ in range(3))
    for part in (one, two):
        ids, instances, predicted, found = random_maps(rng)
        pair = segments(ids, instances, TABLE, crowds=True), segments(predicted, found, TABLE)
        part.add(*pair)
        both.add(*pair)
    np.testing.assert_allclose((one + two).counts, both.counts)
    with pytest.raises(UsageError, match="different classes"):
        one + PanopticQuality.empty(LABELS, ("car",))


def test_precision_and_recall_count_things() -> None:
    """Two true cars, one found and one missed; two cars where there are none."""
    ids, instances = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.int64)
    predicted, found = ids.copy(), instances.copy()
    for map_, numbers, boxes in ((ids, instances, ((0, 0), (0, 10))), (predicted, found, ((0, 0), (12, 0), (12, 10)))):
        for number, (y, x) in enumerate(boxes, 1):
            map_[y : y + 8, x : x + 8], numbers[y : y + 8, x : x + 8] = 2, number
    quality = PanopticQuality.empty(LABELS, THINGS)
    quality.add(segments(ids, instances, TABLE, crowds=True), segments(predicted, found, TABLE))
    car = quality.by_class()["car"]
    assert (car["precision"], car["recall"], car["sq"]) == (pytest.approx(1 / 3), 0.5, 1.0)
    assert "precision" not in quality.by_class()["road"]


def test_a_tube_matches_only_where_ids_last() -> None:
    """Over single frames all is right; over two frames, a car that changes its id is missed."""
    ids, one = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.int64)
    ids[4:12, 4:12], one[4:12, 4:12] = 2, 1
    truth = [segments(ids, one, TABLE, crowds=True)] * 3
    predicted = [segments(ids, one * n, TABLE) for n in (5, 5, 6)]
    single, double = (PanopticQuality.empty(LABELS, THINGS) for _ in range(2))
    add_tubes(single, truth, predicted, 1)
    add_tubes(double, truth, predicted, 2)
    apart = PanopticQuality.empty(LABELS, THINGS)
    add_tubes(apart, truth, predicted, 2, range(1, len(truth)))
    assert not apart.counts.any(), "no frame follows the one before it"
    assert single.means()["all"]["pq"] == 1.0
    # the second of two tubes holds one true car, and two that are half of it
    assert double.counts[2].tolist() == [1.0, 1.0, 2.0, 1.0]


def test_cityscapes_counts_its_own_things() -> None:
    assert thing_classes(CITYSCAPES) == CITYSCAPES_THINGS
    assert thing_classes(CAMVID) == ("SignSymbol", "Car", "Pedestrian", "Bicyclist")


def test_maps_that_do_not_fit_are_refused() -> None:
    ids = np.zeros((4, 4), np.uint8)
    with pytest.raises(UsageError, match="equal sizes"):
        segments(ids, np.zeros((4, 5), np.int64), TABLE)
    with pytest.raises(UsageError, match="0 to 65535"):
        segments(ids, np.full((4, 4), 70_000), TABLE)
    quality = PanopticQuality.empty(LABELS, THINGS)
    with pytest.raises(UsageError, match="equal shapes"):
        quality.add(np.zeros((4, 4), np.int64), np.zeros((4, 5), np.int64))
