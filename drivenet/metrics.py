"""Scores of class ids against truth: one confusion matrix and one count of boundary pixels over all pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.errors import UsageError
from drivenet.labels import GROUPS, IGNORE_ID, LabelSet

#: How far apart two boundaries may run and still be the same, as a share of the picture's diagonal.
TOLERANCE = 0.0075
#: Pixels from which on a distance transform, whose time does not grow with them, takes less than dilation by a disc.
_FAR = 24


@dataclass
class ConfusionMatrix:
    """Pixel counts over any number of pictures. Matrices of one label set add up.

    Args:
        labels: the classes.
        counts: (n, n) int64, rows = truth, columns = prediction. Truth outside 0..n-1 is ignored.
        unlabelled: (n,) int64 by true class: pixels whose prediction, 255, is none of the classes. They are wrong.
    """

    labels: LabelSet
    counts: npt.NDArray[np.int64]
    unlabelled: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not self.unlabelled.size:
            self.unlabelled = np.zeros(len(self.labels), np.int64)

    @classmethod
    def empty(cls, labels: LabelSet) -> ConfusionMatrix:
        """A matrix of zeros."""
        return cls(labels, np.zeros((len(labels), len(labels)), np.int64))

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """The counts of both; UsageError for other classes."""
        _same_classes(self.labels, other.labels)
        return ConfusionMatrix(self.labels, self.counts + other.counts, self.unlabelled + other.unlabelled)

    def add(self, truth: Ids, predicted: Ids) -> None:
        """Count the pixels of one picture; both (H, W) uint8.

        Raises:
            UsageError: if the shapes differ or a prediction is neither an id of the label set nor 255.
        """
        n = len(self.labels)
        if truth.shape != predicted.shape:
            raise UsageError(f"prediction {predicted.shape} against truth {truth.shape}", "equal shapes")
        keep = truth < n
        t, p = truth[keep].astype(np.int64), predicted[keep].astype(np.int64)
        none = p == IGNORE_ID
        self.unlabelled += np.bincount(t[none], minlength=n)
        t, p = t[~none], p[~none]
        if p.size and int(p.max()) >= n:
            raise UsageError(f"prediction holds id {int(p.max())}", f"ids 0..{n - 1} of {self.labels.name}")
        self.counts += np.bincount(t * n + p, minlength=n * n).reshape(n, n)

    @property
    def pixels(self) -> int:
        """How many were counted."""
        return int(self.counts.sum() + self.unlabelled.sum())

    def iou(self) -> dict[str, float]:
        """Intersection over union by class; NaN for a class in neither truth nor prediction."""
        return dict(zip(self.labels.classes, _iou(self.counts, self.unlabelled), strict=True))

    def miou(self) -> float:
        """Mean IoU over the classes that occur in the truth or the prediction."""
        return float(np.nanmean(_iou(self.counts, self.unlabelled))) if self.pixels else float("nan")

    def pixel_accuracy(self) -> float:
        """Share of counted pixels that are right."""
        return float(np.trace(self.counts) / max(1, self.pixels))

    def group_iou(self) -> dict[str, float]:
        """IoU by group, background left out; classes of one group count as one."""
        table = self.labels.group_table[: len(self.labels)]
        onehot = np.eye(len(GROUPS), dtype=np.int64)[table]
        values = _iou(onehot.T @ self.counts @ onehot, onehot.T @ self.unlabelled)
        return {g: v for g, v in zip(GROUPS, values, strict=True) if g != "background"}


def _iou(counts: npt.NDArray[np.int64], unlabelled: npt.NDArray[np.int64]) -> list[float]:
    hit = np.diag(counts).astype(float)
    union = counts.sum(0) + counts.sum(1) - np.diag(counts) + unlabelled
    return [float(h / u) if u else float("nan") for h, u in zip(hit, union, strict=True)]


@dataclass
class BoundaryScore:
    """How well the outlines of classes lie (Csurka et al. 2013), by counts over all pictures.

    A boundary pixel of a class has a neighbour of another class to its left, right, top or bottom. It is found if
    the other map has a boundary pixel of that class within :data:`TOLERANCE` of the diagonal (a pixel at least).
    What lies in or within that distance of pixels without truth is not counted.

    Args:
        labels: the classes.
        counts: (n, 4) int64 by class: predicted boundary pixels, those found in the truth, true boundary pixels,
            those found in the prediction.
    """

    labels: LabelSet
    counts: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, labels: LabelSet) -> BoundaryScore:
        """Nothing counted."""
        return cls(labels, np.zeros((len(labels), 4), np.int64))

    def __add__(self, other: BoundaryScore) -> BoundaryScore:
        """The counts of both; UsageError for other classes."""
        _same_classes(self.labels, other.labels)
        return BoundaryScore(self.labels, self.counts + other.counts)

    def add(self, truth: Ids, predicted: Ids) -> None:
        """Count the boundaries of one picture; both (H, W) uint8, truth outside 0..n-1 is ignored.

        Raises:
            UsageError: if the shapes differ or a prediction is not an id of the label set.
        """
        if truth.shape != predicted.shape:
            raise UsageError(f"prediction {predicted.shape} against truth {truth.shape}", "equal shapes")
        radius = max(1.0, TOLERANCE * math.hypot(*truth.shape))
        unknown = (truth >= len(self.labels)).astype(np.uint8)
        known = cv2.inRange(_within(radius, unknown), 0, 0)
        outlines = [_outlines(np.where(unknown, IGNORE_ID, ids).astype(np.uint8)) for ids in (predicted, truth)]
        present = np.setdiff1d(np.stack(outlines), IGNORE_ID)
        if present.size and int(present.max()) >= len(self.labels):
            raise UsageError(f"prediction holds id {int(present.max())}", f"ids 0..{len(self.labels) - 1}")
        for i in present:
            ours, theirs = (np.asarray(cv2.inRange(o, int(i), int(i)), np.uint8) for o in outlines)
            part = _around(ours | theirs, int(radius))
            for column, (boundary, other) in ((0, (ours[part], theirs[part])), (2, (theirs[part], ours[part]))):
                wanted = cv2.bitwise_and(boundary, known[part])
                found = cv2.bitwise_and(wanted, _within(radius, other))
                self.counts[i, column : column + 2] += cv2.countNonZero(wanted), cv2.countNonZero(found)

    def f_score(self) -> dict[str, float]:
        """F-score by class, 0..1; NaN for a class without a boundary in truth and prediction."""
        return dict(zip(self.labels.classes, (_f_score(*map(int, row)) for row in self.counts), strict=True))

    def mean(self) -> float:
        """Mean over the classes that have a boundary in the truth or the prediction; NaN if none has."""
        values = [v for v in self.f_score().values() if not math.isnan(v)]
        return sum(values) / len(values) if values else float("nan")


def _same_classes(ours: LabelSet, theirs: LabelSet) -> None:
    if ours.classes != theirs.classes:
        raise UsageError(f"counts of {ours.name} and of {theirs.name}", "counts of the same classes to add up")


def _within(radius: float, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What lies within a distance of a mask's pixels, (H, W) uint8: not 0 there."""
    if radius < _FAR:
        return np.asarray(cv2.dilate(mask, _disc(radius)), np.uint8)
    distances = cv2.distanceTransform(cv2.inRange(mask, 0, 0), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # squares of distances are whole numbers: half a step further nothing is rounded to the wrong side
    return np.asarray(cv2.inRange(distances, 0, math.sqrt(math.floor(radius**2) + 0.5)), np.uint8)


def _disc(radius: float) -> npt.NDArray[np.uint8]:
    # not OpenCV's ellipse, which leaves out (1, 4) but not (4, 1) at 4 pixels
    side = np.arange(-int(radius), int(radius) + 1)
    return np.asarray(side[:, None] ** 2 + side**2 <= radius**2, np.uint8)


def _outlines(ids: Ids) -> Ids:
    """The ids of pixels on either side of a change of class, 255 elsewhere; next to ignored pixels is no change."""
    edge = np.zeros(ids.shape, np.bool_)
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differs = (ids[a] != ids[b]) & (ids[a] != IGNORE_ID) & (ids[b] != IGNORE_ID)
        edge[a] |= differs
        edge[b] |= differs
    return np.where(edge, ids, IGNORE_ID).astype(np.uint8)


def _around(mask: npt.NDArray[np.uint8], margin: int) -> tuple[slice, slice]:
    """The window that holds a mask and a margin."""
    x, y, w, h = cv2.boundingRect(mask)
    return np.s_[max(0, y - margin) : y + h + margin, max(0, x - margin) : x + w + margin]


def _f_score(predicted: int, right: int, true: int, found: int) -> float:
    if not predicted + true:
        return float("nan")
    if not right or not found:
        return 0.0
    precision, recall = right / predicted, found / true
    return 2 * precision * recall / (precision + recall)


def agreement(a: Ids, b: Ids) -> float:
    """Share of pixels on which two equally large id maps agree, 0..1."""
    if a.shape != b.shape:
        raise UsageError(f"id maps {a.shape} and {b.shape}", "equal shapes")
    return float(np.mean(a == b))
