"""Panoptic quality (Kirillov et al. 2019) by the rules of Cityscapes' evaluation, and VPQ (Kim et al. 2020)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivenet.errors import UsageError
from drivenet.labels import LabelSet
from drivenet.panoptic import SHIFT, Segments, class_of, thing_table

#: Frames in the tubes that VPQ is the mean over.
VPQ_WINDOWS = (1, 2, 3, 4)

_IOU, _TP, _FP, _FN = range(4)


@dataclass
class PanopticQuality:
    """Counts over images; two add up.

    A predicted and a true segment of one class match if their IoU is above 0.5, pixels without truth left out.
    Unmatched predictions that lie by more than half on pixels without truth, or on a crowd of their class, are not
    counted; crowds are never missed.

    Args:
        labels: the classes.
        things: which of them are counted singly.
        counts: (n, 4) by class: sum of the IoU of matches, matches, false positives, false negatives.
    """

    labels: LabelSet
    things: tuple[str, ...]
    counts: npt.NDArray[np.float64]

    @classmethod
    def empty(cls, labels: LabelSet, things: tuple[str, ...]) -> PanopticQuality:
        """Nothing counted."""
        thing_table(labels, things)
        return cls(labels, things, np.zeros((len(labels), 4)))

    def __add__(self, other: PanopticQuality) -> PanopticQuality:
        if (self.labels, self.things) != (other.labels, other.things):
            raise UsageError("panoptic counts of different classes", "equal label sets and things")
        return PanopticQuality(self.labels, self.things, self.counts + other.counts)

    def add(self, truth: Segments, predicted: Segments) -> None:
        """Count one image, or one tube of frames stacked along an axis.

        Args:
            truth: with crowds, as :func:`~drivenet.panoptic.segments` makes them.
            predicted: without.

        Raises:
            UsageError: for maps of different sizes.
        """
        if truth.shape != predicted.shape:
            raise UsageError(f"prediction {predicted.shape} against truth {truth.shape}", "equal shapes")
        matches = match_segments(truth, predicted, thing_table(self.labels, self.things))
        for column, classes, weights in (
            (_IOU, matches.classes, matches.ious),
            (_TP, matches.classes, None),
            (_FP, class_of(matches.false_positives), None),
            (_FN, class_of(matches.false_negatives), None),
        ):
            self.counts[:, column] += np.bincount(classes, weights, minlength=len(self.labels))[: len(self.labels)]

    def by_class(self) -> dict[str, dict[str, float]]:
        """``pq``, ``sq``, ``rq`` and, for things, ``precision`` and ``recall`` at IoU 0.5, by class; 0..1.

        Classes in neither truth nor prediction are left out; precision or recall without anything to count is NaN.
        """
        out = {}
        for name, (iou, tp, fp, fn) in zip(self.labels.classes, self.counts.tolist(), strict=True):
            if not tp + fp + fn:
                continue
            whole = tp + fp / 2 + fn / 2
            out[name] = {"pq": iou / whole, "sq": iou / tp if tp else 0.0, "rq": tp / whole}
            if name in self.things:
                out[name]["precision"] = tp / (tp + fp) if tp + fp else float("nan")
                out[name]["recall"] = tp / (tp + fn) if tp + fn else float("nan")
        return out

    def means(self) -> dict[str, dict[str, float]]:
        """Mean ``pq``, ``sq`` and ``rq`` over ``all``, ``things`` and ``stuff`` classes; NaN where none occurs."""
        rows = self.by_class()
        parts = {
            "all": list(rows),
            "things": [name for name in rows if name in self.things],
            "stuff": [name for name in rows if name not in self.things],
        }
        return {
            part: {key: _mean([rows[name][key] for name in names]) for key in ("pq", "sq", "rq")}
            for part, names in parts.items()
        }


@dataclass(frozen=True, eq=False)
class Matches:
    """Segments of one image: those that match, and those that are wrong.

    Args:
        true, predicted: (m,) segments that match each other.
        ious: (m,) of them.
        false_positives, false_negatives: segments without a match.
    """

    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    ious: npt.NDArray[np.float64]
    false_positives: npt.NDArray[np.int64]
    false_negatives: npt.NDArray[np.int64]

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """(m,) class ids."""
        return class_of(self.true)


def match_segments(truth: Segments, predicted: Segments, things: npt.NDArray[np.bool_]) -> Matches:
    """Match the segments of one image by the official rules; see :class:`PanopticQuality`."""
    t_keys, t = np.unique(truth, return_inverse=True)
    p_keys, p = np.unique(predicted, return_inverse=True)
    shape = len(t_keys), len(p_keys)
    table = np.bincount(t.ravel() * shape[1] + p.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
    t_area, p_area = table.sum(1), table.sum(0)
    t_class, p_class = class_of(t_keys), class_of(p_keys)
    crowd = (t_keys & ((1 << SHIFT) - 1) == 0) & (t_keys > 0) & things[np.clip(t_class, 0, 255)]
    void = table[t_keys == 0].sum(0)
    ious = table / np.maximum(1, t_area[:, None] + p_area[None, :] - table - void[None, :])
    same = (t_class[:, None] == p_class[None, :]) & (t_keys > 0)[:, None] & ~crowd[:, None]
    rows, columns = np.nonzero(same & (ious > 0.5))
    missed = (t_keys > 0) & ~crowd
    missed[rows] = False
    in_crowd = (table * (crowd[:, None] & (t_class[:, None] == p_class[None, :]))).sum(0)
    wrong = (p_keys > 0) & ((void + in_crowd) / np.maximum(1, p_area) <= 0.5)
    wrong[columns] = False
    return Matches(t_keys[rows], p_keys[columns], ious[rows, columns], p_keys[wrong], t_keys[missed])


def windows(frames: int, window: int, starts: Collection[int] = ()) -> Iterator[slice]:
    """All spans of ``window`` frames of a sequence, but those that go across one of ``starts``.

    Args:
        frames: in the sequence.
        window: frames in a span.
        starts: frames that do not follow the one before them.
    """
    for first in range(frames - window + 1):
        if not any(first < start < first + window for start in starts):
            yield slice(first, first + window)


def add_tubes(
    quality: PanopticQuality, truth: Sequence[Segments], predicted: Sequence[Segments], window: int,
    starts: Collection[int] = (),
) -> None:  # fmt: skip
    """Count every tube of ``window`` consecutive frames; with windows of :data:`VPQ_WINDOWS` their means are VPQ.

    Args:
        quality: of this window alone, over all sequences.
        truth, predicted: the frames of one sequence.
        window: frames in a tube.
        starts: as of :func:`windows`.
    """
    for part in windows(len(truth), window, starts):
        quality.add(np.concatenate(list(truth[part])), np.concatenate(list(predicted[part])))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
