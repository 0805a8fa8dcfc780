"""Boundary F-scores against a plain second computation and against cases known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivenet.errors import UsageError
from drivenet.labels import CAMVID
from drivenet.metrics import BoundaryScore

SIZE = (240, 320)  # diagonal 400: boundaries may be 3 pixels apart


def score(truth: np.ndarray, predicted: np.ndarray) -> BoundaryScore:
    out = BoundaryScore.empty(CAMVID)
    out.add(truth, predicted)
    return out


def split(x: int, left: int = 0, right: int = 3, size: tuple[int, int] = SIZE) -> np.ndarray:
    ids = np.full(size, right, np.uint8)
    ids[:, :x] = left
    return ids


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (3, 1.0), (5, 0.0)])
def test_an_outline_may_be_off_by_the_tolerance(shift: int, expected: float) -> None:
    found = score(split(100), split(100 + shift))
    assert found.f_score()["Sky"] == found.f_score()["Road"] == found.mean() == expected
    assert math.isnan(found.f_score()["Car"])


def test_precision_and_recall_both_count() -> None:
    truth, predicted = split(100), split(100)
    predicted[:, 200:204] = 8  # a car that is not there: its outline, and that of the road around it
    out = score(truth, predicted).f_score()
    assert out["Sky"] == 1.0
    assert out["Car"] == 0.0
    assert out["Road"] == pytest.approx(2 * (1 / 3) / (1 / 3 + 1))  # a third of the predicted outline is right


@pytest.mark.parametrize("size", [(360, 480), (480, 360), (123, 211)])
def test_the_tolerance_is_a_distance_and_no_direction_counts_more(size: tuple[int, int]) -> None:
    """One pixel against one pixel, at every offset."""
    limit = 0.0075 * math.hypot(*size)
    for dy, dx in np.ndindex(8, 8):
        truth, predicted = (np.full(size, 3, np.uint8) for _ in range(2))
        truth[60, 60] = predicted[60 + dy, 60 + dx] = 8
        assert score(truth, predicted).f_score()["Car"] == (math.hypot(dy, dx) <= limit), (dy, dx)


@pytest.mark.parametrize("size", [(360, 480), (150, 3300), (2400, 2500)])
def test_far_tolerances_count_as_near_ones_do(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The dilation takes minutes at 8K; the distance transform has the same pixels within the distance."""
    truth, predicted = (np.full(size, 3, np.uint8) for _ in range(2))
    random = np.random.default_rng(size[0])
    for ids, cls in ((truth, 8), (predicted, 8), (truth, 0), (predicted, 0), (truth, 255)):
        for y, x in random.integers(0, size, (max(12, truth.size // 20_000), 2)):
            ids[y : y + 20, x : x + 30] = cls
    truth[:, :40], predicted[:, -40:] = 5, 6  # classes of one of the two alone
    counts = []
    for far in (0, 1000):
        monkeypatch.setattr("drivenet.metrics._FAR", far)
        counts.append(score(truth, predicted).counts)
    assert 0 < counts[0][8, 1] < counts[0][8, 0], "some are found"
    np.testing.assert_array_equal(*counts)


def plain_counts(truth: np.ndarray, predicted: np.ndarray, cls: int, radius: int) -> list[int]:
    """Boundary pixels by the definition, pixel by pixel (no ignored ones)."""

    def edge(ids: np.ndarray) -> list[tuple[int, int]]:
        h, w = ids.shape
        around = ((0, 1), (1, 0), (0, -1), (-1, 0))
        return [
            (y, x)
            for y, x in np.argwhere(ids == cls).tolist()
            if any(0 <= y + b < h and 0 <= x + a < w and ids[y + b, x + a] != cls for a, b in around)
        ]

    ours, theirs = edge(predicted), edge(truth)
    assert radius == 1  # the smallest disc is the pixel and its four neighbours

    def near(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> int:
        return sum(any(abs(y - v) + abs(x - u) <= radius for v, u in b) for y, x in a)

    return [len(ours), near(ours, theirs), len(theirs), near(theirs, ours)]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 4))
def test_counts_equal_the_definition(seed: int, classes: int) -> None:
    truth, predicted = np.random.default_rng(seed).integers(0, classes, (2, 7, 9), np.uint8)
    found = score(truth, predicted)
    for cls in range(len(CAMVID)):
        assert found.counts[cls].tolist() == plain_counts(truth, predicted, cls, 1)


def test_pixels_without_truth_have_no_outline_and_what_is_near_them_does_not_count() -> None:
    truth = split(100)
    truth[:, 95:105] = 255
    assert math.isnan(score(truth, split(100)).mean())
    assert math.isnan(score(truth, split(93)).mean())  # two pixels from where nobody knows
    assert score(truth, split(80)).f_score()["Sky"] == 0.0


def test_counts_of_all_pictures_are_added() -> None:
    found = score(split(100), split(100))
    found.add(split(100), split(150))
    assert found.f_score()["Sky"] == pytest.approx(0.5)
    assert found.mean() == pytest.approx(0.5)


def test_nothing_seen_is_nan_and_shapes_must_agree() -> None:
    assert math.isnan(BoundaryScore.empty(CAMVID).mean())
    assert math.isnan(score(split(0), split(0)).mean())
    with pytest.raises(UsageError, match="expected equal shapes"):
        score(split(1), split(1)[1:])
    found = BoundaryScore.empty(CAMVID)
    with pytest.raises(UsageError, match=r"id 11; expected ids 0\.\.10"):
        found.add(split(100), split(100, right=11))
    assert not found.counts.any()
