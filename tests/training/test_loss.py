"""The loss: weights, ignored pixels, hard pixels, the Dice and Lovász terms, and distillation."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from drivenet.labels import IGNORE_ID  # noqa: E402
from drivenet.training.loss import (  # noqa: E402
    HARD_AT_LEAST,
    SegmentationLoss,
    dice_loss,
    distillation_loss,
    lovasz_loss,
    set_cross_entropy,
)


def ids_of(*rows: list[int]) -> torch.Tensor:
    return torch.tensor([rows], dtype=torch.uint8).repeat_interleave(8, 1).repeat_interleave(8, 2)


def sure(ids: torch.Tensor, classes: int) -> torch.Tensor:
    """Logits that give these ids beyond doubt."""
    clipped = torch.where(ids == IGNORE_ID, 0, ids).long()
    return 50.0 * torch.nn.functional.one_hot(clipped, classes).permute(0, 3, 1, 2)


def on_the_same_rows(loss: SegmentationLoss, logits: torch.Tensor, ids: torch.Tensor) -> float:
    torch.manual_seed(0)
    return float(loss([logits], ids))


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


def test_without_easy_pixels_mining_changes_nothing() -> None:
    ids = ids_of([0, 1], [2, IGNORE_ID])
    logits = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([1.0, 5.0, 2.0])
    plain, mined = (on_the_same_rows(SegmentationLoss(weights, 0.0, 0.0, ohem), logits, ids) for ohem in (None, 0.9999))
    assert mined == pytest.approx(plain)


def test_only_hard_pixels_count() -> None:
    """A quarter of the picture is wrong, the rest beyond doubt: the mean is that of the quarter."""
    ids = ids_of([0, 1], [2, 1])
    logits = sure(ids_of([1, 1], [2, 1]), 3)
    losses = (SegmentationLoss(torch.ones(3), 0.0, 0.0, ohem) for ohem in (None, 0.7))
    plain, mined = (on_the_same_rows(loss, logits, ids) for loss in losses)
    assert mined == pytest.approx(4 * plain)


def test_a_sixteenth_counts_however_easy() -> None:
    """All pixels are easier than the bound; the hardest sixteenth (of the rows that count) gets the gradient."""
    ids = torch.zeros(1, 32, 32, dtype=torch.uint8)
    logits = torch.zeros(1, 2, 16, 16)
    logits[:, 0] = torch.linspace(5, 9, 256).view(16, 16)
    logits.requires_grad_()
    SegmentationLoss(torch.ones(2), 0.0, 0.0, 0.5)([logits], ids).backward()
    assert logits.grad is not None
    rows, columns = logits.grad[0, 0].nonzero(as_tuple=True)
    first = int(rows[0])
    assert first in (0, 1)
    assert rows.tolist() == [first] * (128 // HARD_AT_LEAST)
    assert columns.tolist() == list(range(128 // HARD_AT_LEAST))


def test_half_of_the_rows_counts_and_over_the_batches_every_row_does() -> None:
    ids = torch.zeros(1, 32, 32, dtype=torch.uint8)
    seen = set()
    for seed in range(16):
        torch.manual_seed(seed)
        logits = torch.zeros(1, 2, 16, 16, requires_grad=True)
        SegmentationLoss(torch.ones(2), 0.0, 0.0)([logits], ids).backward()
        assert logits.grad is not None
        rows = tuple(logits.grad[0, 0].any(1).nonzero().flatten().tolist())
        assert rows in {tuple(range(0, 16, 2)), tuple(range(1, 16, 2))}
        seen |= set(rows)
    assert seen == set(range(16))


def test_mining_without_truth_costs_nothing() -> None:
    logits = torch.randn(1, 3, 16, 16)
    assert (
        float(SegmentationLoss(torch.ones(3), 0.5, 0.0, 0.7)([logits], ids_of([IGNORE_ID] * 2, [IGNORE_ID] * 2))) == 0
    )


def test_an_equal_network_has_nothing_to_imitate() -> None:
    teacher = torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    assert float(distillation_loss(teacher + 3, teacher, 2.0)) == pytest.approx(0, abs=1e-6)


def test_imitation_leads_to_the_teacher() -> None:
    teacher = torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    student = torch.zeros_like(teacher, requires_grad=True)
    loss = distillation_loss(student, teacher, 2.0)
    loss.backward()
    assert student.grad is not None
    assert float(loss.detach()) > 0
    surer = (teacher / 2).softmax(1) > 1 / 5  # than the undecided student
    assert bool(((student.grad < 0) == surer).all())
    closer = student.detach() - 10 * student.grad
    assert float(distillation_loss(closer, teacher, 2.0)) < float(loss.detach())


@pytest.mark.parametrize("head", [0, 1])
def test_every_pixel_of_a_cell_is_the_truth_in_turn(head: int) -> None:
    """Cells of 2x2 (8x8 for the auxiliary head) hold four classes: a fixed choice would see one of them alone."""
    cell = (1, 4)[head]
    codes = torch.arange(4, dtype=torch.uint8).view(1, 2, 2).repeat_interleave(cell, 1).repeat_interleave(cell, 2)
    codes = codes.repeat(1, 32 // cell // 2, 32 // cell // 2)
    logits = [torch.zeros(1, 4, 32, 32), torch.zeros(1, 4, 32, 32)]
    logits[head] = sure(torch.zeros_like(codes), 4)
    loss = SegmentationLoss(torch.ones(4), 0.0, 1.0)
    torch.manual_seed(1)
    found = [float(loss(logits, codes)) for _ in range(64)]
    assert 4 <= sum(value < 2 for value in found) <= 36  # right in one of four: 16 are expected
    torch.manual_seed(1)
    assert found == [float(loss(logits, codes)) for _ in range(64)]


def a_set() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (1, 4, 3, 5) and a set that holds classes 1 and 2 everywhere."""
    logits = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return logits, torch.tensor([False, True, True, False]).expand(1, 3, 5, 4)


def test_a_set_costs_the_logarithm_of_its_probability() -> None:
    logits, members = a_set()
    inside = logits.softmax(1)[:, 1:3].sum(1)
    torch.testing.assert_close(set_cross_entropy(logits, members), -inside.log())
    one = torch.tensor([False, False, True, False]).expand(1, 3, 5, 4)
    ids = torch.full((1, 3, 5), 2)
    expected = torch.nn.functional.cross_entropy(logits, ids, reduction="none")
    torch.testing.assert_close(set_cross_entropy(logits, one), expected)


def test_which_member_of_a_set_is_likelier_costs_nothing() -> None:
    """Probability that moves from one member to the other leaves the loss as it was."""
    logits, members = a_set()
    p = logits.softmax(1)
    moved = p.clone()
    moved[:, 1] += 0.9 * p[:, 2]
    moved[:, 2] -= 0.9 * p[:, 2]
    torch.testing.assert_close(set_cross_entropy(moved.log(), members), set_cross_entropy(logits, members))


def test_members_of_a_set_are_pushed_in_proportion_to_their_probability() -> None:
    logits, members = a_set()
    logits.requires_grad_()
    set_cross_entropy(logits, members).sum().backward()
    p = logits.detach().softmax(1)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[:, 1] / p[:, 1], logits.grad[:, 2] / p[:, 2])
    assert bool((logits.grad[:, 1:3] < 0).all())
    torch.testing.assert_close(logits.grad[:, [0, 3]], p[:, [0, 3]])


def test_a_set_weighs_as_its_members_do_on_average() -> None:
    members = torch.ones(256, 3, dtype=torch.bool)
    members[:4] = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]]).bool()
    loss = SegmentationLoss(torch.tensor([1.0, 2.0, 4.0]), 0.0, 0.0, members=members)
    assert loss.weights[:4].tolist() == [1, 2, 4, 3]


def by_label(logits: torch.Tensor, codes: torch.Tensor, members: torch.Tensor) -> float:
    """Lovász-Softmax written out, one label after the other."""
    p, costs = logits.softmax(1), []
    for label in codes[codes != IGNORE_ID].unique().tolist():
        wanted = set(members[label].nonzero().flatten().tolist())
        found = p[:, sorted(wanted)].sum(1).flatten().tolist()
        pixels = []
        for probability, code in zip(found, codes.flatten().tolist(), strict=True):
            may_be = set(members[code].nonzero().flatten().tolist())
            if may_be <= wanted or not may_be & wanted:
                pixels.append((abs((may_be <= wanted) - probability), may_be <= wanted))
        total, before, cost, missed = sum(hit for _, hit in pixels), 0.0, 0.0, 0
        for k, (error, hit) in enumerate(sorted(pixels)[::-1], 1):
            missed += hit
            now = 1 - (total - missed) / (total + k - missed)
            cost, before = cost + error * (now - before), now
        costs.append(cost)
    return sum(costs) / len(costs)


def test_the_lovasz_term_is_that_of_its_paper_and_a_set_teaches_nothing_about_its_members() -> None:
    torch.manual_seed(0)
    members = torch.ones(256, 4, dtype=torch.bool)
    members[:4] = torch.eye(4, dtype=torch.bool)
    members[9] = torch.tensor([False, True, True, False])
    codes = torch.tensor([0, 1, 2, 9, IGNORE_ID])[torch.randint(5, (2, 6, 6))]
    logits = torch.randn(2, 4, 6, 6, requires_grad=True)
    loss = lovasz_loss(logits, codes, members)
    assert float(loss.detach()) == pytest.approx(by_label(logits.detach(), codes, members), abs=1e-5)
    loss.backward()
    grad = logits.grad
    assert grad is not None
    assert not grad.permute(0, 2, 3, 1)[codes == IGNORE_ID].any()
    one_of_two = grad.permute(0, 2, 3, 1)[codes == 9]
    pushed = torch.softmax(logits.detach(), 1).permute(0, 2, 3, 1)[codes == 9]
    ratio = one_of_two[:, 1:3] / pushed[:, 1:3]
    assert torch.allclose(ratio[:, 0], ratio[:, 1], atol=1e-5), "both members gain in proportion to what they have"


def test_the_lovasz_term_is_zero_without_truth_and_where_all_is_right() -> None:
    ids = ids_of([0, 1], [2, 1])
    right = SegmentationLoss(torch.ones(3), 0.0, 0.0, lovasz=1.0)
    assert float(right([sure(ids, 3)], ids)) == pytest.approx(0, abs=1e-4)
    assert float(right([sure((ids + 1) % 3, 3)], ids)) == pytest.approx(51, abs=1.1)
    nothing = torch.full_like(ids, IGNORE_ID)
    assert float(right([torch.randn(1, 3, 16, 16)], nothing)) == 0
