"""Scores against a plain second computation, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivenet.errors import UsageError
from drivenet.labels import CAMVID, CITYSCAPES, GROUPS, LabelSet
from drivenet.metrics import ConfusionMatrix, agreement


def ids(seed: int, n: int, ignore: float = 0.0, size: tuple[int, int] = (9, 14)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = rng.integers(0, n, size, np.uint8)
    out[rng.random(size) < ignore] = 255
    return out


def plain_iou(pairs: list[tuple[np.ndarray, np.ndarray]], members: tuple[int, ...]) -> float:
    """Intersection over union of a set of ids, by the definition."""
    hit = union = 0
    for truth, predicted in pairs:
        known = truth != 255
        a, b = np.isin(truth, members) & known, np.isin(predicted, members) & known
        hit += int((a & b).sum())
        union += int((a | b).sum())
    return hit / union if union else math.nan


@pytest.mark.parametrize("labels", [CAMVID, CITYSCAPES], ids=["camvid", "cityscapes"])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 11), ignore=st.sampled_from([0.0, 0.3, 0.95]))
def test_scores_equal_the_definition(labels: LabelSet, seed: int, classes: int, ignore: float) -> None:
    pairs = [(ids(seed + i, classes, ignore), ids(seed + i + 50, classes)) for i in range(2)]
    matrix = ConfusionMatrix.empty(labels)
    for truth, predicted in pairs:
        matrix.add(truth, predicted)
    expected = {c: plain_iou(pairs, (i,)) for i, c in enumerate(labels.classes)}
    assert matrix.iou() == pytest.approx(expected, nan_ok=True)
    groups = {g: plain_iou(pairs, labels.ids_of_group(g)) for g in GROUPS if g != "background"}
    assert matrix.group_iou() == pytest.approx(groups, nan_ok=True)
    known = [v for v in expected.values() if not math.isnan(v)]
    assert matrix.miou() == pytest.approx(np.mean(known) if known else math.nan, nan_ok=True)
    total = sum(int((t != 255).sum()) for t, _ in pairs)
    right = sum(int((t == p).sum()) for t, p in pairs)
    assert matrix.pixel_accuracy() == pytest.approx(right / total if total else 0)


def test_the_order_of_pictures_and_their_cuts_do_not_matter() -> None:
    truth, predicted = ids(1, 11, 0.1), ids(2, 11)
    whole, cut = ConfusionMatrix.empty(CAMVID), ConfusionMatrix.empty(CAMVID)
    whole.add(truth, predicted)
    for part in (np.s_[5:], np.s_[:5]):
        cut.add(truth[part], predicted[part])
    np.testing.assert_array_equal(whole.counts, cut.counts)


def test_rows_are_truth_and_columns_prediction() -> None:
    matrix = ConfusionMatrix.empty(CAMVID)
    matrix.add(np.full((2, 3), 4, np.uint8), np.full((2, 3), 7, np.uint8))
    assert matrix.counts[4, 7] == matrix.counts.sum() == 6


def test_absent_classes_are_nan_and_do_not_count() -> None:
    matrix = ConfusionMatrix.empty(CAMVID)
    assert math.isnan(matrix.miou())
    road = np.full((4, 4), 3, np.uint8)
    matrix.add(road, road)
    assert matrix.miou() == matrix.iou()["Road"] == matrix.group_iou()["road"] == 1
    assert math.isnan(matrix.iou()["Sky"])
    assert math.isnan(matrix.group_iou()["vehicle"])


def test_a_wrong_shape_or_id_is_refused_and_counts_nothing() -> None:
    matrix = ConfusionMatrix.empty(CAMVID)
    with pytest.raises(UsageError, match="expected equal shapes"):
        matrix.add(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))
    with pytest.raises(UsageError, match=r"id 11; expected ids 0\.\.10 of camvid"):
        matrix.add(np.zeros((2, 3), np.uint8), np.full((2, 3), 11, np.uint8))
    assert not matrix.counts.any()


def test_a_prediction_without_truth_is_not_looked_at() -> None:
    matrix = ConfusionMatrix.empty(CAMVID)
    matrix.add(np.full((2, 3), 255, np.uint8), np.full((2, 3), 200, np.uint8))
    assert not matrix.counts.any()


def test_agreement_is_the_share_of_equal_pixels() -> None:
    a = np.zeros((2, 4), np.uint8)
    b = a.copy()
    b[0, 0] = 9
    assert agreement(a, a) == 1
    assert agreement(a, b) == 1 - 1 / 8
    with pytest.raises(UsageError, match="expected equal shapes"):
        agreement(a, b[:1])
