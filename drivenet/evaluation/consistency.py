"""Temporal consistency of predictions: TC (Liu et al. 2020), mTC (Varghese et al. 2020), mVC (Miao et al. 2021)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from drivenet.classmap import Ids
from drivenet.data.sequences.base import Flow, Mask
from drivenet.evaluation.flow import carried, grid
from drivenet.labels import IGNORE_ID, LabelSet
from drivenet.metrics import ConfusionMatrix
from drivenet.panoptic.quality import windows

#: Frames over which mVC asks for constant classes.
VC_WINDOWS = (8, 16)


@dataclass(frozen=True)
class Mean:
    """A mean that adds up: a sum and of how many."""

    total: float = 0.0
    n: int = 0

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.total + other.total, self.n + other.n)

    @property
    def value(self) -> float:
        """The mean; NaN of nothing."""
        return self.total / self.n if self.n else float("nan")

    @classmethod
    def of(cls, value: float) -> Mean:
        """One value; nothing for NaN."""
        return cls(value, 1) if value == value else cls()


@dataclass
class SequenceConsistency:
    """One sequence, pair by pair of consecutive frames.

    The prediction of the earlier frame is carried along the flow; where it is known and ends inside the image, it is
    compared with the prediction of the later frame. TC is the mIoU of the two over all pairs of the sequence, mTC the
    mean over the pairs of their mIoU.
    """

    labels: LabelSet
    pairs: Mean = field(default_factory=Mean)
    _matrix: ConfusionMatrix = field(init=False)

    def __post_init__(self) -> None:
        self._matrix = ConfusionMatrix.empty(self.labels)

    def add(self, before: Ids, after: Ids, backward: tuple[Flow, Mask]) -> float:
        """Count one pair, ids (H, W) of the labels or 255, flow from the later to the earlier frame; give its mIoU."""
        flow, known = backward
        came_from = carried(before, grid(after.shape) + flow, cv2.INTER_NEAREST)
        came_from[~known] = IGNORE_ID
        one = ConfusionMatrix.empty(self.labels)
        one.add(came_from, after)
        self._matrix += one
        value = one.miou()
        self.pairs += Mean.of(value)
        return value

    @property
    def tc(self) -> float:
        """TC of the sequence, 0..1; NaN without a pair."""
        return self._matrix.miou()


def video_consistency(
    truth: Sequence[Ids], predicted: Sequence[Ids], window: int, starts: Collection[int] = ()
) -> float:
    """VC of one densely labelled sequence (Miao et al. 2021, equation 2).

    Over all windows of so many consecutive frames the mean share of the pixels whose true class is constant that are
    predicted right in every frame of it. Pixels without truth in one of the frames are left out, and windows in which a
    frame of ``starts`` does not follow the one before it.

    Returns:
        0..1; NaN if the sequence is shorter, or no pixel stays.
    """
    shares = []
    for part in windows(len(truth), window, starts):
        t, p = np.stack(list(truth[part])), np.stack(list(predicted[part]))
        constant = (t == t[0]).all(0) & (t[0] != IGNORE_ID)
        if constant.any():
            shares.append(float(((p == t).all(0) & constant).sum() / constant.sum()))
    return float(np.mean(shares)) if shares else float("nan")
