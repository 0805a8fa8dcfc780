"""The loss: weights, ignored pixels, and the Dice term at its ends."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from drivenet.labels import IGNORE_ID  # noqa: E402
from drivenet.training.loss import SegmentationLoss, dice_loss  # noqa: E402


def ids_of(*rows: list[int]) -> torch.Tensor:
    return torch.tensor([rows], dtype=torch.uint8).repeat_interleave(8, 1).repeat_interleave(8, 2)


def sure(ids: torch.Tensor, classes: int) -> torch.Tensor:
    """Logits that give these ids beyond doubt."""
    clipped = torch.where(ids == IGNORE_ID, 0, ids).long()
    return 50.0 * torch.nn.functional.one_hot(clipped, classes).permute(0, 3, 1, 2)


def test_it_is_zero_where_all_is_right_and_large_where_all_is_wrong() -> None:
    ids = ids_of([0, 1], [2, 1])
    loss = SegmentationLoss(torch.ones(3), 1.0, 0.0)
    assert float(loss([sure(ids, 3)], ids)) == pytest.approx(0, abs=1e-4)
    assert float(loss([sure((ids + 1) % 3, 3)], ids)) > 40


def test_undecided_logits_cost_the_logarithm_of_the_classes() -> None:
    ids = ids_of([0, 1], [2, IGNORE_ID])
    loss = SegmentationLoss(torch.tensor([1.0, 5.0, 2.0]), 0.0, 0.5)
    flat = torch.zeros(1, 3, 16, 16)
    assert float(loss([flat], ids)) == pytest.approx(math.log(3))
    assert float(loss([flat, flat], ids)) == pytest.approx(1.5 * math.log(3))


def test_ignored_pixels_do_not_count() -> None:
    ids = ids_of([0, IGNORE_ID], [1, 1])
    wrong_there = sure(torch.where(ids == IGNORE_ID, 2, ids), 3)
    assert float(SegmentationLoss(torch.ones(3), 1.0, 0.0)([wrong_there], ids)) == pytest.approx(0, abs=0.02)


def test_a_batch_without_truth_costs_nothing() -> None:
    ids = ids_of([IGNORE_ID, IGNORE_ID], [IGNORE_ID, IGNORE_ID])
    logits = torch.randn(1, 3, 16, 16, requires_grad=True)
    loss = SegmentationLoss(torch.ones(3), 1.0, 0.4)([logits, logits], ids)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_dice_weighs_classes_not_pixels() -> None:
    """One small class missed among three costs about a third."""
    ids = torch.zeros(1, 90, 90, dtype=torch.long)
    ids[:, :, 45:] = 1
    ids[:, :10, :10] = 2
    missed = torch.where(ids == 2, 0, ids)
    assert float(dice_loss(sure(missed, 3), ids)) == pytest.approx(1 / 3, abs=0.02)
