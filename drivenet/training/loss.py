"""Class-weighted cross-entropy with Dice, on the output and the auxiliary heads."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from drivenet.labels import IGNORE_ID


class SegmentationLoss(nn.Module):
    """The loss of one batch.

    Cross-entropy weighted by class plus ``dice`` times one minus the mean soft Dice coefficient (Milletari et al.
    2016) of the classes present. The output is compared at half the sample's size, auxiliary logits at an eighth.

    Args:
        weights: (C,) float weights of the classes.
        dice, auxiliary: factors of the Dice term and of each auxiliary head.
    """

    weights: torch.Tensor

    def __init__(self, weights: torch.Tensor, dice: float, auxiliary: float) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.dice, self.auxiliary = dice, auxiliary

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
        # Not reduction="mean": a batch without any truth (all void) would give NaN.
        total = F.cross_entropy(logits, ids, self.weights, ignore_index=IGNORE_ID, reduction="sum")
        valid = ids != IGNORE_ID
        loss = total / (self.weights[torch.where(valid, ids, 0)] * valid).sum().clamp_min(1e-6)
        return loss + self.dice * dice_loss(logits, ids) if self.dice else loss


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
