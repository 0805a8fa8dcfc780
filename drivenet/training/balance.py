"""Offsets of the classes' logits, fitted to the mean IoU: rare classes win where they are likely enough.

The argmax of probabilities gives the most right pixels. The IoU of a rare class is best at a lower probability (about
half of that IoU: Lipton et al., "Optimal thresholding of classifiers to maximize F1", 2014, for the kindred F1), so
offsets are added to the logits (logit adjustment: Menon et al., ICLR 2021). They cost nothing: they go into the biases
of the last convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from drivenet.config import check
from drivenet.errors import UsageError
from drivenet.label_mapping import LabelMapping
from drivenet.labels import IGNORE_ID
from drivenet.metrics import ConfusionMatrix
from drivenet.models import create
from drivenet.models.checkpoint import labels_of, normalisation_of
from drivenet.models.deployed import OURS, Deployed, Normalisation
from drivenet.prepare import prepare, resize_ids
from drivenet.training.settings import TrainSettings
from drivenet.training.sources import Val, load_vals

#: Changes of an offset that are tried, from coarse to fine, and the largest offset.
STEPS, LARGEST = (0.4, 0.2, 0.1), 1.0
#: An offset of 1 has to bring as much of the mean IoU: what brings less is chance.
PRICE = 0.003
#: Of the pixels of a class map every so many-th row and column is looked at.
EVERY = 4


@dataclass(frozen=True)
class Pixels:
    """Labelled pixels of one data set as a network sees them.

    Args:
        logits: (P, classes of the network) float32.
        truth: (P,) uint8 classes of the data set, none of them 255.
        mapping: between the two.
        weight: of its mIoU in the mean.
    """

    logits: npt.NDArray[np.float32]
    truth: npt.NDArray[np.uint8]
    mapping: LabelMapping
    weight: float = 1.0

    def miou(self, offsets: npt.NDArray[np.float64]) -> float:
        """With offsets (classes,) added to the logits; 0 to 1."""
        found = self.mapping.to_dataset[(self.logits + offsets.astype(np.float32)).argmax(1)]
        n = len(self.mapping.dataset)
        counts = np.bincount(self.truth * np.int64(n + 1) + np.minimum(found, n), minlength=n * (n + 1))
        square = counts.reshape(n, n + 1)
        return ConfusionMatrix(self.mapping.dataset, square[:, :n].copy(), square[:, n].copy()).miou()


def fit(parts: Sequence[Pixels]) -> npt.NDArray[np.float64]:
    """Offsets (classes,) that raise the weighted mean of the mIoU, each at most :data:`LARGEST`.

    One class is moved after the other. Deterministic. An offset stays 0 unless another one is worth its :data:`PRICE`.
    """
    offsets = np.zeros(parts[0].logits.shape[1])
    best = _worth(parts, offsets)
    for step in STEPS:
        moved = True
        while moved:
            moved = False
            for i in range(len(offsets)):
                for change in (step, -step):
                    tried = offsets.copy()
                    tried[i] = np.clip(offsets[i] + change, -LARGEST, LARGEST)
                    if (score := _worth(parts, tried)) > best + 1e-6:
                        best, offsets, moved = score, tried, True
    return offsets


def mean(parts: Sequence[Pixels], offsets: npt.NDArray[np.float64]) -> float:
    """The weighted mean of the mIoU."""
    return sum(p.weight * p.miou(offsets) for p in parts) / sum(p.weight for p in parts)


def _worth(parts: Sequence[Pixels], offsets: npt.NDArray[np.float64]) -> float:
    return mean(parts, offsets) - PRICE * float(np.abs(offsets).sum())


@dataclass(frozen=True)
class Balance:
    """What offsets give.

    Args:
        offsets: of the classes that have one, by name.
        before, after: the weighted mean of the mIoU on the pictures that they were fitted to, 0 to 1.
        held_out: the gain on each half of the pictures of offsets that were fitted to the other half.
    """

    offsets: dict[str, float]
    before: float
    after: float
    held_out: tuple[float, float]

    @classmethod
    def of(cls, parts: Sequence[Pixels], offsets: dict[str, float]) -> Balance:
        """Of fitted offsets, by class in order."""
        given, none = np.array(list(offsets.values())), np.zeros(len(offsets))
        first, second = zip(*(halves(part) for part in parts), strict=True)
        gains = [mean(other, fit(one)) - mean(other, none) for one, other in ((second, first), (first, second))]
        told = {name: round(offset, 3) for name, offset in offsets.items() if offset}
        return cls(told, mean(parts, none), mean(parts, given), (gains[0], gains[1]))


def balanced(state: dict[str, Any], sizes: Sequence[tuple[int, int]]) -> tuple[dict[str, Any], Balance]:
    """A checkpoint whose classes are balanced on the val pictures that its run was selected on, and what that gave.

    Args:
        state: a checkpoint of ``drivenet train``.
        sizes: (height, width) of the inputs that it will be exported for; all count alike.

    Raises:
        UsageError, ConfigError: for a network without a last convolution of its own (``classify``), or of no run that
            has val.
    """
    if "data" not in state["settings"]:
        raise UsageError(
            "a checkpoint that was not trained here", "one of drivenet train, which names its val pictures"
        )
    settings, labels = check(state["settings"], TrainSettings, "the checkpoint's settings"), labels_of(state)
    network = create(settings.model.architecture, len(labels), settings.model.options)
    network.load_state_dict(state["network"])
    last = getattr(network, "classify", [None])[-1]
    if not isinstance(last, nn.Conv2d) or last.bias is None:
        raise UsageError(f"{settings.model.architecture} has no classify", "an efficientnet_fpn")
    vals = load_vals(settings)
    if not vals:
        raise UsageError("no val pictures to select on", "a run with select above 0 for a source of data")
    parts = [pixels(network, val, size, normalisation_of(state)) for val in vals for size in sizes]
    offsets = fit(parts)
    name = next(key for key, tensor in network.state_dict(keep_vars=True).items() if tensor is last.bias)
    changed = {**state["network"], name: state["network"][name] + torch.tensor(offsets, dtype=torch.float32)}
    found = Balance.of(parts, dict(zip(labels.classes, offsets.tolist(), strict=True)))
    progress = {**state.get("progress", {}), "best": None}  # nobody has scored it yet
    lineage = {**state.get("lineage", {}), "class_offsets": found.offsets}
    return {**state, "network": changed, "progress": progress, "lineage": lineage}, found


@torch.no_grad()
def pixels(
    network: nn.Module, val: Val, size: tuple[int, int], normalisation: Normalisation = OURS
) -> Pixels:  # fmt: skip
    """What a network sees of val at an input size, as its deployed graph computes it."""
    deployed = Deployed(network, "half", *normalisation).eval()
    logits, truths = [], []
    for sample in val.pictures:
        found = deployed.logits(torch.from_numpy(prepare(sample.image, size))[None])[0]
        truth = resize_ids(val.mapping.truth[sample.ids], (int(found.shape[1]), int(found.shape[2])))[::EVERY, ::EVERY]
        known = truth != IGNORE_ID
        logits.append(found[:, ::EVERY, ::EVERY].permute(1, 2, 0).float().numpy()[known])
        truths.append(truth[known])
    return Pixels(np.concatenate(logits), np.concatenate(truths), val.mapping, val.weight)


def halves(part: Pixels) -> tuple[Pixels, Pixels]:
    """The first and the second half of the pixels, and so of the pictures."""
    middle = len(part.truth) // 2
    return (replace(part, logits=part.logits[:middle], truth=part.truth[:middle]),
            replace(part, logits=part.logits[middle:], truth=part.truth[middle:]))  # fmt: skip
