"""Class-weighted cross-entropy with Dice and hard-pixel mining, and distillation."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from drivenet.labels import IGNORE_ID

#: Of the labelled pixels, one in so many counts however easy it is.
HARD_AT_LEAST = 16


class SegmentationLoss(nn.Module):
    """The loss of one batch.

    Cross-entropy weighted by class plus ``dice`` times one minus the mean soft Dice coefficient (Milletari et al.
    2016) of the classes present. The output is compared at half the sample's size, auxiliary logits at an eighth.

    Args:
        weights: (C,) float weights of the classes.
        dice, auxiliary: factors of the Dice term and of each auxiliary head.
        ohem: None, or the probability of the true class from which on a pixel no longer counts (online hard example
            mining, Shrivastava et al. 2016, by pixel); 1/16 of the labelled pixels always count.
    """

    weights: torch.Tensor

    def __init__(self, weights: torch.Tensor, dice: float, auxiliary: float, ohem: float | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.dice, self.auxiliary, self.ohem = dice, auxiliary, ohem

    def forward(self, logits: list[torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
        """Mean loss; ``logits`` (N, C, h, w) each, output first; ``ids`` (N, H, W) uint8."""
        loss = self._one(logits[0], ids[:, ::2, ::2].long())
        for extra in logits[1:]:
            loss = loss + self.auxiliary * self._one(extra, ids[:, 4::8, 4::8].long())
        return loss

    def _one(self, logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        size = (int(ids.shape[1]), int(ids.shape[2]))
        if logits.shape[2:] != ids.shape[1:]:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        logits = logits.float()
        counts = ids != IGNORE_ID
        losses = F.cross_entropy(logits, ids, ignore_index=IGNORE_ID, reduction="none")
        if self.ohem is not None:
            counts = counts & (losses >= _hard_from(losses.detach(), counts, self.ohem))
        weights = self.weights[torch.where(counts, ids, 0)] * counts
        # Not reduction="mean": a batch without any truth (all void) would give NaN.
        loss = (losses * weights).sum() / weights.sum().clamp_min(1e-6)
        return loss + self.dice * dice_loss(logits, ids) if self.dice else loss


def _hard_from(losses: torch.Tensor, labelled: torch.Tensor, probability: float) -> torch.Tensor:
    """The loss from which on a pixel counts."""
    least = int(labelled.sum()) // HARD_AT_LEAST
    bound = losses.new_tensor(-math.log(probability))
    return bound if least < 1 else torch.minimum(bound, losses[labelled].topk(least).values[-1])


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean over pixels of the Kullback-Leibler divergence of softened probabilities (Hinton et al. 2015).

    Args:
        student, teacher: (N, C, h, w) logits of the same shape.
        temperature: logits are divided by it; the loss is scaled by its square, so that gradients keep their size.
    """
    wanted = F.log_softmax(teacher.float() / temperature, 1)
    given = F.log_softmax(student.float() / temperature, 1)
    return F.kl_div(given, wanted, reduction="none", log_target=True).sum(1).mean() * temperature**2


def dice_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """One minus the mean soft Dice coefficient of the classes present in the batch; 0 if none is."""
    valid = ids != IGNORE_ID
    truth = F.one_hot(torch.where(valid, ids, 0), logits.shape[1]).permute(0, 3, 1, 2)
    truth = truth * valid[:, None]
    guess = logits.softmax(1) * valid[:, None]
    axes = (0, 2, 3)
    overlap = 2 * (guess * truth).sum(axes)
    total = guess.sum(axes) + truth.sum(axes)
    present = truth.sum(axes) > 0
    return (present * (1 - (overlap + 1) / (total + 1))).sum() / present.sum().clamp_min(1)
