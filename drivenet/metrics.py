"""Scores of class ids against truth: one confusion matrix over all pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.errors import UsageError
from drivenet.labels import GROUPS, LabelSet


@dataclass
class ConfusionMatrix:
    """Pixel counts, rows = truth, columns = prediction, (n, n) int64. Truth outside 0..n-1 is ignored."""

    labels: LabelSet
    counts: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, labels: LabelSet) -> ConfusionMatrix:
        """A matrix of zeros."""
        return cls(labels, np.zeros((len(labels), len(labels)), np.int64))

    def add(self, truth: Ids, predicted: Ids) -> None:
        """Count the pixels of one picture; both (H, W) uint8.

        Raises:
            UsageError: if the shapes differ or a prediction is not an id of the label set.
        """
        n = len(self.labels)
        if truth.shape != predicted.shape:
            raise UsageError(f"prediction {predicted.shape} against truth {truth.shape}", "equal shapes")
        keep = truth < n
        t, p = truth[keep].astype(np.int64), predicted[keep].astype(np.int64)
        if p.size and int(p.max()) >= n:
            raise UsageError(f"prediction holds id {int(p.max())}", f"ids 0..{n - 1} of {self.labels.name}")
        self.counts += np.bincount(t * n + p, minlength=n * n).reshape(n, n)

    def iou(self) -> dict[str, float]:
        """Intersection over union by class; NaN for a class in neither truth nor prediction."""
        return dict(zip(self.labels.classes, _iou(self.counts), strict=True))

    def miou(self) -> float:
        """Mean IoU over the classes that occur in the truth or the prediction."""
        return float(np.nanmean(_iou(self.counts))) if self.counts.sum() else float("nan")

    def pixel_accuracy(self) -> float:
        """Share of counted pixels that are right."""
        return float(np.trace(self.counts) / max(1, self.counts.sum()))

    def group_iou(self) -> dict[str, float]:
        """IoU by group, background left out; classes of one group count as one."""
        table = self.labels.group_table[: len(self.labels)]
        onehot = np.eye(len(GROUPS), dtype=np.int64)[table]
        values = _iou(onehot.T @ self.counts @ onehot)
        return {g: v for g, v in zip(GROUPS, values, strict=True) if g != "background"}


def _iou(counts: npt.NDArray[np.int64]) -> list[float]:
    hit = np.diag(counts).astype(float)
    union = counts.sum(0) + counts.sum(1) - np.diag(counts)
    return [float(h / u) if u else float("nan") for h, u in zip(hit, union, strict=True)]


def agreement(a: Ids, b: Ids) -> float:
    """Share of pixels on which two equally large id maps agree, 0..1."""
    if a.shape != b.shape:
        raise UsageError(f"id maps {a.shape} and {b.shape}", "equal shapes")
    return float(np.mean(a == b))
