"""Segmentation and tracking quality (Weber et al. 2021, STEP) and ID switches on sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.errors import UsageError
from drivenet.labels import LabelSet
from drivenet.metrics import ConfusionMatrix
from drivenet.panoptic import Segments, class_of, segments, thing_table
from drivenet.panoptic.quality import match_segments

Instances = npt.NDArray[np.integer]
#: Bits of a segment, in a pair of them.
_PAIR = 32


@dataclass
class TrackingQuality:
    """Counts over sequences; two add up.

    Args:
        matrix: the classes of all pixels.
        things: which classes have tracks.
        association: sum over the true tracks of how well they are associated, each 0..1.
        tracks: how many true tracks there are.
        switches: how often a true track is matched by another id than the time before.
        track_frames: in how many frames a true track was matched.
    """

    matrix: ConfusionMatrix
    things: tuple[str, ...]
    association: float = 0.0
    tracks: int = 0
    switches: int = 0
    track_frames: int = 0

    @classmethod
    def empty(cls, labels: LabelSet, things: tuple[str, ...]) -> TrackingQuality:
        """Nothing counted."""
        return cls(ConfusionMatrix.empty(labels), things)

    def __add__(self, other: TrackingQuality) -> TrackingQuality:
        if (self.matrix.labels, self.things) != (other.matrix.labels, other.things):
            raise UsageError("tracking counts of different classes", "equal label sets and things")
        return TrackingQuality(
            self.matrix + other.matrix,
            self.things,
            self.association + other.association,
            self.tracks + other.tracks,
            self.switches + other.switches,
            self.track_frames + other.track_frames,
        )

    def to_dict(self) -> dict[str, float]:
        """``stq``, its parts ``aq`` and ``sq`` (mIoU), 0..1; ``switches_per_100``; NaN where nothing was counted."""
        aq = self.association / self.tracks if self.tracks else float("nan")
        sq = self.matrix.miou()
        switches = 100 * self.switches / self.track_frames if self.track_frames else float("nan")
        return {"stq": math.sqrt(aq * sq), "aq": aq, "sq": sq, "switches_per_100": switches}


@dataclass
class SequenceTracks:
    """One sequence, frame by frame; :meth:`counts` when it is over.

    A track is a class and an id over all frames, as in the authors' ``STQuality`` (deeplab2): an id whose class changes
    is two. Crowds belong to no track, neither true nor predicted; predicted things without an id are one of each class.
    """

    labels: LabelSet
    things: tuple[str, ...]
    _matrix: ConfusionMatrix = field(init=False)
    _true: dict[int, int] = field(default_factory=dict)
    _predicted: dict[int, int] = field(default_factory=dict)
    _both: dict[int, int] = field(default_factory=dict)
    _last: dict[int, int] = field(default_factory=dict)
    _switches: int = 0
    _track_frames: int = 0

    def __post_init__(self) -> None:
        self._matrix = ConfusionMatrix.empty(self.labels)
        self._table = thing_table(self.labels, self.things)

    def add(self, truth: tuple[Ids, Instances], predicted: tuple[Ids, Instances]) -> None:
        """Count the next frame: class ids and the instances, whose ids last over the sequence, 1 .. 65535.

        Raises:
            UsageError: for maps of different sizes.
        """
        self._matrix.add(truth[0], predicted[0])
        true, mine = (segments(*one, self._table, crowds=True) for one in (truth, predicted))
        crowd = self._table[truth[0]] & (truth[1] == 0)
        t, p = (self._table[one[0]] & ~crowd for one in (truth, predicted))
        _count(self._true, true[t])
        _count(self._predicted, mine[p])
        _count(self._both, (true[t & p] << _PAIR) + mine[t & p])
        self._follow(true, segments(*predicted, self._table))

    def _follow(self, truth: Segments, predicted: Segments) -> None:
        """Which id each true track is matched by, and whether that is another one than before."""
        found = match_segments(truth, predicted, self._table)
        for true, mine in zip(found.true.tolist(), found.predicted.tolist(), strict=True):
            if self._table[class_of(true)]:
                self._switches += self._last.get(true, mine) != mine
                self._track_frames += 1
                self._last[true] = mine

    def counts(self) -> TrackingQuality:
        """What was counted: for each true track g the sum over predicted ones p of |p and g| IoU(p, g), over |g|."""
        total = 0.0
        for pair, overlap in self._both.items():
            true, mine = pair >> _PAIR, pair & ((1 << _PAIR) - 1)
            union = self._true[true] + self._predicted[mine] - overlap
            total += overlap * (overlap / union) / self._true[true]
        return TrackingQuality(self._matrix, self.things, total, len(self._true), self._switches, self._track_frames)


def _count(counts: dict[int, int], keys: npt.NDArray[np.int64]) -> None:
    for key, n in zip(*(a.tolist() for a in np.unique(keys, return_counts=True)), strict=True):
        counts[key] = counts.get(key, 0) + n
