"""Cross-entropy of sets of classes, with Lovász, Dice and hard-pixel mining, and distillation."""

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

    A label is a set of classes (see :class:`~drivenet.training.sets.SetCodes`), and the loss of a pixel is
    ``-log(sum of p over the set)``: the cross-entropy where the set has one class, and nothing about which member it
    is where it has several (partial labels: Zhao et al., "Object Detection with a Unified Label Space from Multiple
    Datasets", ECCV 2020). To that comes ``dice`` times one minus the mean soft Dice coefficient (Milletari et al.
    2016) of the classes present, over pixels of one class, and ``lovasz`` times :func:`lovasz_loss` of the output at
    the network's own size. The output is compared at half the sample's size, auxiliary logits at an eighth. Which pixel
    of 2x2 or 8x8 is the truth is drawn for each batch, since always the same one would teach edges that are shifted;
    so is which half of the rows counts.

    Args:
        weights: (C,) float weights of the classes; a set has its members' mean.
        dice, auxiliary, lovasz: factors of the Dice term, of each auxiliary head and of the Lovász term.
        ohem: None, or the probability of the true set from which on a pixel no longer counts (online hard example
            mining, Shrivastava et al. 2016, by pixel); 1/16 of the labelled pixels always count.
        members: (256, C) bool, which classes a code may be; 255 is ignored. None: codes are classes.
    """

    weights: torch.Tensor
    members: torch.Tensor

    def __init__(
        self, weights: torch.Tensor, dice: float, auxiliary: float, ohem: float | None = None,
        members: torch.Tensor | None = None, lovasz: float = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if members is None:
            members = torch.ones(256, len(weights), dtype=torch.bool)
            members[: len(weights)] = torch.eye(len(weights), dtype=torch.bool)
        self.register_buffer("members", members)
        self.register_buffer("weights", (members * weights).sum(1) / members.sum(1))
        self.dice, self.auxiliary, self.ohem, self.lovasz = dice, auxiliary, ohem, lovasz

    def forward(self, logits: list[torch.Tensor], codes: torch.Tensor) -> torch.Tensor:
        """Mean loss; ``logits`` (N, C, h, w) each, output first; ``codes`` (N, H, W) uint8.

        The phases come from torch's generator.
        """
        loss = self._one(logits[0], _subsampled(codes, 2))
        if self.lovasz:
            small = _subsampled(codes, codes.shape[1] // logits[0].shape[2])
            loss = loss + self.lovasz * lovasz_loss(*_every_second_row(logits[0], small), self.members)
        for extra in logits[1:]:
            loss = loss + self.auxiliary * self._one(extra, _subsampled(codes, 8))
        return loss

    def _one(self, logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        size = (int(codes.shape[1]), int(codes.shape[2]))
        if logits.shape[2:] != codes.shape[1:]:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        logits, codes = _every_second_row(logits, codes)
        logits = logits.float()
        counts = codes != IGNORE_ID
        losses = set_cross_entropy(logits, self.members[codes])
        if self.ohem is not None:
            counts = counts & (losses >= _hard_from(losses.detach(), counts, self.ohem))
        weights = self.weights[codes] * counts
        # Not reduction="mean": a batch without any truth (all void) would give NaN.
        loss = (losses * weights).sum() / weights.sum().clamp_min(1e-6)
        if not self.dice:
            return loss
        ids = torch.where(codes < logits.shape[1], codes, IGNORE_ID)
        return loss + self.dice * dice_loss(logits, ids)


def set_cross_entropy(logits: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    """``-log(sum of p over the members)`` by pixel, (N, h, w) float.

    Args:
        logits: (N, C, h, w) float.
        members: (N, h, w, C) bool, at least one a pixel.
    """
    kept = logits.masked_fill(~members.permute(0, 3, 1, 2), -math.inf)
    return logits.logsumexp(1) - kept.logsumexp(1)


def _subsampled(codes: torch.Tensor, step: int) -> torch.Tensor:
    """One code of every ``step`` x ``step``, as int64; which one is drawn."""
    row, column = torch.randint(step, (2,)).tolist()
    return codes[:, row::step, column::step].long()


def _every_second_row(logits: torch.Tensor, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Half the rows, from a drawn one: neighbours say nearly the same, and the loss is a fifth of an iteration."""
    first = int(torch.randint(2, ()))
    return logits[:, :, first::2], codes[:, first::2]


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


def lovasz_loss(logits: torch.Tensor, codes: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    """Mean Lovász-Softmax of the labels in the batch; 0 if there is none.

    A surrogate of one minus the IoU (Berman et al., CVPR 2018, algorithm 1). A label is a set of classes, whose
    probability is the sum of its members'. Left out for it are pixels whose label says not whether they are of the set:
    those of a larger set, or one that overlaps. Without terms for sets, a data set that knows a class only as part of
    one would show no pixels of that class, and plenty of others.

    Args:
        logits: (N, C, h, w) float.
        codes: (N, h, w) int64.
        members: (256, C) bool, which classes a code may be.
    """
    flat = codes.flatten()
    present = torch.bincount(flat, minlength=256)[:IGNORE_ID].nonzero().flatten()
    if not len(present):
        return logits.sum() * 0
    sets = members[present]
    p = sets.to(torch.float32) @ logits.float().softmax(1).permute(1, 0, 2, 3).flatten(1)
    truth = ~(members[:, None] & ~sets).any(2).T
    unsure = ((members[:, None] & sets).any(2).T & ~truth)[:, flat]
    truth = truth[:, flat]
    errors = (truth.to(p.dtype) - p).abs().masked_fill(unsure, 0)  # so that they come last and add nothing
    ranked, order = errors.sort(1, descending=True)
    hits = truth.gather(1, order).to(p.dtype)
    missed = hits.sum(1, keepdim=True) - hits.cumsum(1)
    union = missed + torch.arange(1, hits.shape[1] + 1, device=p.device)
    jaccard = 1 - missed / union
    steps = torch.cat((jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]), 1)
    return (ranked * steps).sum(1).mean()


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
