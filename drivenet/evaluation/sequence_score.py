"""What is counted over a sequence. Scores add up, so that sequences are scored anywhere and in any order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from drivenet.evaluation.calibration import as_number
from drivenet.evaluation.comparison import Comparison
from drivenet.evaluation.consistency import Mean
from drivenet.evaluation.flicker import Flicker
from drivenet.evaluation.instance_iou import InstanceIoU
from drivenet.metrics import BoundaryScore, ConfusionMatrix
from drivenet.panoptic.quality import VPQ_WINDOWS, PanopticQuality
from drivenet.panoptic.sequences import TrackingQuality


@dataclass
class SequenceScore:
    """Counts of one engine on one sequence or, added up, on several.

    Args:
        common: what engine and truth are compared on.
        things: the classes whose instances the truth tells; none where it has none.
        frames, labelled: how many.
        tc, mtc: temporal consistency over sequences and pairs of frames.
        vc: by window of mVC, over sequences.
    """

    common: Comparison
    things: tuple[str, ...] = ()
    frames: int = 0
    labelled: int = 0
    tc: Mean = field(default_factory=Mean)
    mtc: Mean = field(default_factory=Mean)
    vc: dict[int, Mean] = field(default_factory=dict)
    matrix: ConfusionMatrix = field(init=False)
    boundary: BoundaryScore = field(init=False)
    instances: InstanceIoU = field(init=False)
    panoptic: PanopticQuality = field(init=False)
    tubes: dict[int, PanopticQuality] = field(init=False)
    tracking: TrackingQuality = field(init=False)
    flicker: Flicker = field(init=False)

    def __post_init__(self) -> None:
        labels = self.common.labels
        self.matrix, self.boundary = ConfusionMatrix.empty(labels), BoundaryScore.empty(labels)
        self.instances = InstanceIoU.empty(labels, self.things)
        self.panoptic = PanopticQuality.empty(labels, self.things)
        self.tubes = {window: PanopticQuality.empty(labels, self.things) for window in VPQ_WINDOWS}
        self.tracking = TrackingQuality.empty(labels, self.things)
        self.flicker = Flicker(labels)

    def __add__(self, other: SequenceScore) -> SequenceScore:
        """The counts of both; UsageError for other classes."""
        both = SequenceScore(
            self.common, self.things, self.frames + other.frames, self.labelled + other.labelled,
            self.tc + other.tc, self.mtc + other.mtc,
            {w: self.vc.get(w, Mean()) + other.vc.get(w, Mean()) for w in self.vc.keys() | other.vc.keys()},
        )  # fmt: skip
        both.matrix, both.boundary = self.matrix + other.matrix, self.boundary + other.boundary
        both.instances, both.panoptic = self.instances + other.instances, self.panoptic + other.panoptic
        both.tubes = {w: self.tubes[w] + other.tubes[w] for w in self.tubes}
        both.tracking, both.flicker = self.tracking + other.tracking, self.flicker + other.flicker
        return both

    @property
    def miou(self) -> float:
        """Mean IoU over the data set's classes; NaN where only groups could be compared."""
        return self.matrix.miou() if self.common.on == "classes" else math.nan

    @property
    def vpq(self) -> float:
        """Mean PQ over the tubes of :data:`VPQ_WINDOWS` that there are; NaN without things in dense truth."""
        values = [q.means()["all"]["pq"] for q in self.tubes.values() if q.counts.any()]
        return sum(values) / len(values) if values else math.nan

    def figures(self) -> dict[str, float]:
        """By name, 0..1, in the order of tables; what does not occur is NaN."""
        groups = self.matrix.group_iou()
        present = [value for value in groups.values() if not math.isnan(value)]
        things = self.panoptic.means() if self.panoptic.counts.any() else {}
        return {
            "miou": self.miou,
            "iiou": self.instances.mean(self.matrix),
            "group_miou": sum(present) / len(present) if present else math.nan,
            **{f"group_{name}": value for name, value in groups.items()},
            "pixel_accuracy": self.matrix.pixel_accuracy() if self.matrix.pixels else math.nan,
            "boundary_f": self.boundary.mean(),
            "pq": things.get("all", {}).get("pq", math.nan),
            "pq_things": things.get("things", {}).get("pq", math.nan),
            "pq_stuff": things.get("stuff", {}).get("pq", math.nan),
            "stq": self.tracking.to_dict()["stq"],
            "vpq": self.vpq,
            "tc": self.tc.value,
            "mtc": self.mtc.value,
            **{f"mvc{window}": self.vc.get(window, Mean()).value for window in sorted(self.vc)},
            "flicker": self.flicker.rate,
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON: None for what does not occur."""
        out: dict[str, Any] = {"frames": self.frames, "labelled": self.labelled, "compared_on": self.common.on}
        out |= {name: as_number(value, 10) for name, value in self.figures().items()}
        if self.common.on == "classes":
            out["iou"] = {name: as_number(value, 10) for name, value in self.matrix.iou().items()}
        return out
