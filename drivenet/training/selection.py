"""What a run is selected on: the weighted mean of the val mIoU of its sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from drivenet.errors import UsageError
from drivenet.labels import IGNORE_ID
from drivenet.metrics import ConfusionMatrix
from drivenet.models.deployed import OURS, Normalisation
from drivenet.training.sources import Val
from drivenet.training.validation import Validation

#: Of the settings of a source, what its val score follows from.
_SELECTED = ("dataset", "labels", "name", "select", "select_pictures", "mapping", "ignore_fringes", "frames")


@dataclass(frozen=True)
class Score:
    """Confusion matrices by source, and the weight of each in the mean."""

    matrices: dict[str, ConfusionMatrix]
    weights: dict[str, float]

    @property
    def miou(self) -> float:
        """The weighted mean of the sources' mIoU."""
        total = sum(self.weights.values())
        return sum(self.weights[name] * m.miou() for name, m in self.matrices.items()) / total

    def by_source(self) -> dict[str, float]:
        """The mIoU of each source."""
        return {name: matrix.miou() for name, matrix in self.matrices.items()}

    def iou(self) -> dict[str, dict[str, float]]:
        """IoU by source and class."""
        return {name: matrix.iou() for name, matrix in self.matrices.items()}


class Selection:
    """Scores a network on the val pictures of all sources.

    Args:
        vals: of each source that counts.
        size: (height, width) of the network's input.
        device: where it is done.
        normalisation: that the networks take pictures with.

    Raises:
        UsageError: if there are none, or a source's show no class that the network tells, so that it has no mIoU.
    """

    def __init__(
        self, vals: Sequence[Val], size: tuple[int, int], device: torch.device, normalisation: Normalisation = OURS
    ) -> None:
        if not vals:
            raise UsageError("no val pictures to select on", "select above 0 for a source of data")
        for val in vals:
            _check_truth(val)
        self._parts = {val.name: Validation(val.pictures, val.mapping, size, device, normalisation) for val in vals}
        self._weights = {val.name: val.weight for val in vals}

    def __call__(self, network: nn.Module) -> Score:
        """Score a network."""
        return Score({name: part(network) for name, part in self._parts.items()}, self._weights)


def check_selection(theirs: Mapping[str, Any], mine: Mapping[str, Any], where: str, cure: str) -> None:
    """UsageError naming ``where`` unless two runs, as settings in JSON, are selected on the same: scores compare then.

    What the settings of an earlier version did not have is not compared, nor are roots: data may be moved.
    """
    before, now = _selected(theirs), _selected(mine)
    for name in before:  # the number of sources first
        if before[name] != now.get(name, before[name]):
            told = f"{where} was selected on {name} {before[name]}"
            raise UsageError(told, f"{now[name]}, or the settings of before", cure)


def _selected(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the val score of given weights, by name; the number of sources as well."""
    found: dict[str, Any] = {"input": settings.get("input")}
    vals = [one for one in settings.get("data", ()) if one.get("select", 1)]
    for i, one in enumerate(vals, 1):
        found |= {f"{key} of source {i}": one[key] for key in _SELECTED if key in one}
    return {"sources": len(vals), **found}


def _check_truth(val: Val) -> None:
    if not any((val.mapping.truth[sample.ids] != IGNORE_ID).any() for sample in val.pictures):
        raise UsageError(f"val of {val.name} holds no label that counts", "pixels of classes that the network tells",
                         "label them, or give this source select: 0")  # fmt: skip
