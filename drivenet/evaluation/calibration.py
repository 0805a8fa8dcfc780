"""How far an engine's confidence can be believed: calibration, and what is left when the unsure pixels are left out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Confidence, Ids
from drivenet.errors import UsageError

#: Of the reliability diagram, equally wide; 255 is 15 times 17, so that every bound is a level.
BINS = 15
#: Confidences, 0..1, at which the pixels are told that have at least as much.
THRESHOLDS = (0.5, 0.7, 0.9, 0.95, 0.99)
_LEVELS = np.arange(256)
_WRONG, _RIGHT = 0, 1


@dataclass(frozen=True)
class Bin:
    """The pixels with a confidence of more than ``low`` and at most ``high``, 0..1.

    Args:
        low, high: its bounds; the first bin has 0 as well.
        count: how many pixels.
        confidence: their mean confidence, 0..1; NaN without pixels.
        accuracy: the share of them that is right, 0..1; NaN without pixels.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Kept:
    """What is left of the pixels at a threshold.

    Args:
        threshold: least confidence, 0..1.
        share: of all pixels, those that have it, 0..1; NaN without pixels.
        accuracy: the share of these that is right, 0..1; NaN if none has it.
    """

    threshold: float
    share: float
    accuracy: float


@dataclass
class Calibration:
    """Confidence against truth, by exact counts over all pictures.

    Args:
        counts: (2, 256) int64: wrong and right pixels by confidence in 255ths.
    """

    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 256), np.int64))

    def add(self, truth: Ids, predicted: Ids, confidence: Confidence, classes: int) -> None:
        """Count the pixels of one picture, all (H, W) uint8; truth outside 0..``classes`` - 1 is ignored.

        Raises:
            UsageError: if the shapes differ.
        """
        if not truth.shape == predicted.shape == confidence.shape:
            told = f"prediction {predicted.shape} and confidence {confidence.shape} against truth {truth.shape}"
            raise UsageError(told, "equal shapes")
        known = truth < classes
        right = (truth == predicted)[known]
        levels = confidence[known]
        for row in (_WRONG, _RIGHT):
            self.counts[row] += np.bincount(levels[right == row], minlength=256)

    @property
    def pixels(self) -> int:
        """How many were counted."""
        return int(self.counts.sum())

    @property
    def right(self) -> float:
        """Mean confidence of the right pixels, 0..1; NaN if there are none."""
        return _mean(self.counts[_RIGHT])

    @property
    def wrong(self) -> float:
        """Mean confidence of the wrong pixels, 0..1; NaN if there are none."""
        return _mean(self.counts[_WRONG])

    @property
    def mean(self) -> float:
        """Mean confidence of all pixels, 0..1; above the accuracy it is too sure of itself."""
        return _mean(self.counts.sum(0))

    def bins(self) -> list[Bin]:
        """The reliability diagram, :data:`BINS` equally wide bins from 0 to 1."""
        of_level = np.maximum(0, -(-_LEVELS * BINS // 255) - 1)
        parts = [self.counts * (of_level == m) for m in range(BINS)]
        return [
            Bin(m / BINS, (m + 1) / BINS, int(part.sum()), _mean(part.sum(0)), _accuracy(part))
            for m, part in enumerate(parts)
        ]

    def ece(self) -> float:
        """Expected calibration error, 0..1: the gap between confidence and accuracy, NaN without pixels.

        Guo, Pleiss, Sun and Weinberger: On Calibration of Modern Neural Networks, ICML 2017, equation 3: over bins
        ((m - 1) / M, m / M] of the confidence, the sum of |B_m| / n * |acc(B_m) - conf(B_m)|; here M = 15 as in
        their experiments, and n are the pixels with truth.
        """
        gaps = [b.count * abs(b.accuracy - b.confidence) for b in self.bins() if b.count]
        return sum(gaps) / self.pixels if gaps else float("nan")

    def kept(self) -> list[Kept]:
        """What is left at each of :data:`THRESHOLDS`."""
        rows = []
        for threshold in THRESHOLDS:
            part = self.counts * (_LEVELS >= threshold * 255)
            share = int(part.sum()) / self.pixels if self.pixels else float("nan")
            rows.append(Kept(threshold, share, _accuracy(part)))
        return rows

    def to_dict(self) -> dict[str, object]:
        """The ``confidence`` member of an evaluation: numbers of 0..1, None for what does not occur."""
        return {
            "pixels": self.pixels,
            "mean": as_number(self.mean),
            "right": as_number(self.right),
            "wrong": as_number(self.wrong),
            "ece": as_number(self.ece()),
            "bins": [
                {"from": as_number(b.low), "to": as_number(b.high), "count": b.count,
                 "confidence": as_number(b.confidence), "accuracy": as_number(b.accuracy)}
                for b in self.bins()
            ],
            "kept": [
                {"threshold": k.threshold, "share": as_number(k.share), "accuracy": as_number(k.accuracy)}
                for k in self.kept()
            ],
        }  # fmt: skip


def _mean(counts: npt.NDArray[np.int64]) -> float:
    """Of the confidence of pixels counted by level, 0..1."""
    total = int(counts.sum())
    return float(counts @ _LEVELS) / 255 / total if total else float("nan")


def _accuracy(counts: npt.NDArray[np.int64]) -> float:
    total = int(counts.sum())
    return int(counts[_RIGHT].sum()) / total if total else float("nan")


def as_number(value: float, digits: int = 5) -> float | None:
    """A share as JSON, which has no NaN."""
    return None if math.isnan(value) else round(value, digits)
