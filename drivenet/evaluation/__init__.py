"""Scores a deployed artefact on labelled pictures, through the same steps that a run takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.data.base import Dataset, Sample
from drivenet.engine.base import Engine
from drivenet.errors import SourceError
from drivenet.evaluation.calibration import Calibration, as_number
from drivenet.labels import GROUPS, LabelSet
from drivenet.metrics import TOLERANCE, BoundaryScore, ConfusionMatrix
from drivenet.prepare import crop_bars, prepare_for, resize_ids

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Scored:
    """One picture of an evaluation.

    Args:
        sample: the picture and its truth.
        truth: (H, W) uint8 ids of ``labels``, 255 ignored.
        predicted: the same of the engine.
        labels: the classes, or groups, that were compared.
        miou: mean IoU of this picture over the classes in its truth or prediction; NaN without truth.
    """

    sample: Sample
    truth: Ids
    predicted: Ids
    labels: LabelSet
    miou: float


#: The groups as a label set of their own: what is left to compare when engine and truth have other classes.
GROUP_LABELS = LabelSet(
    "groups",
    GROUPS,
    ((128, 64, 128), (220, 220, 0), (220, 20, 60), (0, 0, 142), (0, 0, 0)),
    {group: group for group in GROUPS},
)


@dataclass
class Report:
    """What an evaluation found.

    Args:
        matrix: the pixel counts, by class or, where the classes differ, by group.
        compared_on: ``classes`` or ``groups``.
        images: how many pictures.
        engine: :meth:`Engine.describe`.
        dataset: its ``name``, ``split`` and ``labels``.
        boundary: the boundary pixels, by the same classes or groups.
        calibration: confidence against truth; None where the engine offers no confidence.
    """

    matrix: ConfusionMatrix
    compared_on: str
    images: int = 0
    engine: dict[str, object] = field(default_factory=dict)
    dataset: dict[str, object] = field(default_factory=dict)
    boundary: BoundaryScore = field(init=False)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        self.boundary = BoundaryScore.empty(self.matrix.labels)

    @property
    def miou(self) -> float:
        """Mean IoU over classes; NaN if only groups could be compared, or nothing was counted."""
        return self.matrix.miou() if self.compared_on == "classes" else float("nan")

    @property
    def group_miou(self) -> float:
        """Mean IoU over road, sign, pedestrian and vehicle, as far as they occur; NaN if none does."""
        values = [v for v in self.matrix.group_iou().values() if not math.isnan(v)]
        return sum(values) / len(values) if values else float("nan")

    @property
    def pixel_accuracy(self) -> float:
        """Share of counted pixels with the right class (or group, background included); NaN if none was counted."""
        return self.matrix.pixel_accuracy() if self.matrix.counts.any() else float("nan")

    def to_dict(self) -> dict[str, object]:
        """The evaluation as JSON: numbers of 0..1, None for what does not occur. ``iou`` only for classes,
        ``confidence`` only where the engine offers it.
        """
        out: dict[str, object] = {
            "compared_on": self.compared_on,
            "miou": as_number(self.miou),
            "group_miou": as_number(self.group_miou),
            "pixel_accuracy": as_number(self.pixel_accuracy),
            "groups": {name: as_number(v) for name, v in self.matrix.group_iou().items()},
            "images": self.images,
            "dataset": dict(self.dataset),
            "engine": dict(self.engine),
            "confusion": {
                "names": list(self.matrix.labels.classes),
                "truth_by_prediction": self.matrix.counts.tolist(),
            },
            "boundary": {
                "tolerance": TOLERANCE,
                "mean": as_number(self.boundary.mean()),
                "f_score": {name: as_number(v) for name, v in self.boundary.f_score().items()},
            },
        }
        if self.compared_on == "classes":
            out["iou"] = {name: as_number(v) for name, v in self.matrix.iou().items()}
        if self.calibration is not None:
            out["confidence"] = self.calibration.to_dict()
        return out


def evaluate(
    engine: Engine,
    dataset: Dataset,
    progress: Progress | None = None,
    visit: Callable[[Scored], None] | None = None,
) -> Report:
    """Score an engine: resize to its input, infer, resize the ids (nearest) to the labels' size, count all pixels.

    Where engine and dataset have other classes, both are reduced to the groups road, sign, pedestrian, vehicle and
    background before they are compared, and the report says so. Confidence stays that of the winning class, which is
    the least that its group has.

    Args:
        engine: the artefact as deployed.
        dataset: pictures with truth; id 255 is ignored.
        progress: called with (done, total) after every picture.
        visit: called with every picture and its score.

    Raises:
        SourceError: for a dataset without pictures, or files that cannot be read.
        EngineError: for a failed inference.
    """
    ours, theirs = engine.spec.label_set, dataset.labels
    same = ours.classes == theirs.classes
    labels = theirs if same else GROUP_LABELS
    report = Report(
        ConfusionMatrix.empty(labels),
        "classes" if same else "groups",
        engine=engine.describe(),
        dataset={"name": dataset.name, "split": dataset.split, "labels": theirs.name},
    )
    total = len(dataset)
    if not total:
        raise SourceError(f"{dataset.name} {dataset.split} holds no pictures")
    for i in range(total):
        sample = dataset[i]
        size, spec = _size(sample.ids), engine.spec
        ids, confidence = engine.infer_confident(prepare_for(sample.image, spec))
        predicted = resize_ids(crop_bars(ids, spec, size), size)
        truth = sample.ids if same else _groups(sample.ids, theirs)
        predicted = predicted if same else _groups(predicted, ours)
        one = ConfusionMatrix.empty(labels)
        one.add(truth, predicted)
        report.matrix.counts += one.counts
        report.boundary.add(truth, predicted)
        if confidence is not None:
            report.calibration = report.calibration or Calibration()
            sure = resize_ids(crop_bars(confidence, spec, size), size)
            report.calibration.add(truth, predicted, sure, len(labels))
        report.images += 1
        if visit is not None:
            visit(Scored(sample, truth, predicted, labels, one.miou()))
        if progress is not None:
            progress(report.images, total)
    return report


def _groups(ids: Ids, labels: LabelSet) -> npt.NDArray[np.uint8]:
    """Ids of :data:`GROUP_LABELS`; 255 stays."""
    groups: npt.NDArray[np.uint8] = labels.group_table[ids]
    return groups


def _size(ids: Ids) -> tuple[int, int]:
    return ids.shape[0], ids.shape[1]
