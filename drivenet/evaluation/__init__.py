"""Scores a deployed artefact on labelled pictures, through the same steps that a run takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.data.base import Dataset, Sample
from drivenet.data.views import with_things
from drivenet.engine.base import Engine
from drivenet.engine.laned import in_order
from drivenet.engine.things import infer_all
from drivenet.errors import SourceError
from drivenet.evaluation.calibration import Calibration, as_number
from drivenet.evaluation.comparison import GROUP_LABELS as GROUP_LABELS
from drivenet.evaluation.comparison import compare
from drivenet.evaluation.parted import ThingScore, panoptic_dict
from drivenet.label_mapping import LabelMapping
from drivenet.labels import LabelSet
from drivenet.metrics import TOLERANCE, BoundaryScore, ConfusionMatrix
from drivenet.panoptic.quality import PanopticQuality
from drivenet.prepare import resize_ids

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


@dataclass
class Report:
    """What an evaluation found.

    Args:
        matrix: the pixel counts, by class or, where the classes differ, by group.
        compared_on: ``classes`` or ``groups``.
        images: how many pictures.
        engine: :meth:`Engine.describe`.
        dataset: its ``name``, ``split`` and ``labels``.
        sizes: (height, width) of the label pictures that were compared at.
        boundary: the boundary pixels, by the same classes or groups.
        calibration: confidence against truth; None where the engine offers no confidence.
        panoptic: single things too; None where the engine has no centres, or the truth no things with ids.
        parted: how many pictures ``panoptic`` is of.
    """

    matrix: ConfusionMatrix
    compared_on: str
    images: int = 0
    engine: dict[str, object] = field(default_factory=dict)
    dataset: dict[str, object] = field(default_factory=dict)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    boundary: BoundaryScore = field(init=False)
    calibration: Calibration | None = None
    panoptic: PanopticQuality | None = None
    parted: int = 0

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
        return self.matrix.pixel_accuracy() if self.matrix.pixels else float("nan")

    @property
    def compared_at(self) -> tuple[int, int] | None:
        """(height, width) that all pictures were compared at; None where they differ, or there was none."""
        return next(iter(self.sizes)) if len(self.sizes) == 1 else None

    def to_dict(self) -> dict[str, object]:
        """The evaluation as JSON: numbers of 0..1, None for what does not occur. ``iou`` only for classes,
        ``confidence`` and ``panoptic`` only where there is such.
        """
        out: dict[str, object] = {
            "compared_on": self.compared_on,
            "miou": as_number(self.miou),
            "group_miou": as_number(self.group_miou),
            "pixel_accuracy": as_number(self.pixel_accuracy),
            "groups": {name: as_number(v) for name, v in self.matrix.group_iou().items()},
            "images": self.images,
            "compared_at": list(self.compared_at) if self.compared_at else None,
            "dataset": dict(self.dataset),
            "engine": dict(self.engine),
            "confusion": {
                "names": list(self.matrix.labels.classes),
                "truth_by_prediction": self.matrix.counts.tolist(),
                "unlabelled": self.matrix.unlabelled.tolist(),
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
        if self.panoptic is not None:
            out["panoptic"] = {"images": self.parted, **panoptic_dict(self.panoptic)}
        return out


def evaluate(
    engine: Engine,
    dataset: Dataset,
    progress: Progress | None = None,
    visit: Callable[[Scored], None] | None = None,
    mapping: LabelMapping | None = None,
) -> Report:
    """Score an engine: resize to its input, infer, resize the ids (nearest) to the labels' size, count all pixels.

    Single things are compared where the engine separates them and the truth of a picture has instances.

    Where engine and dataset have other classes, the engine's are mapped onto the dataset's own; where no mapping leads
    there, both are reduced to the groups road, sign, pedestrian, vehicle and background before they are compared, and
    the report says so. Confidence stays that of the winning class, which is the least that what it is mapped to has.

    Args:
        engine: the artefact as deployed.
        dataset: pictures with truth; id 255 is ignored.
        progress: called with (done, total) after every picture.
        visit: called with every picture and its score.
        mapping: from the dataset's labels to the engine's classes; the one that ships without it.

    Raises:
        SourceError: for a dataset without pictures, or files that cannot be read.
        EngineError: for a failed inference.
        UsageError: for a mapping that no score follows from.
    """
    common = compare(engine.spec.label_set, dataset.labels, mapping)
    report = Report(
        ConfusionMatrix.empty(common.labels),
        common.on,
        engine=engine.describe(),
        dataset={"name": dataset.name, "split": dataset.split, "labels": dataset.labels.name},
    )
    if engine.spec.things is not None:
        dataset = with_things(dataset)
    total = len(dataset)
    if not total:
        raise SourceError(f"{dataset.name} {dataset.split} holds no pictures")
    things = ThingScore(common)
    for sample, found in in_order(engine, _infer, (dataset[i] for i in range(total))):
        (ids, confidence, maps), size, spec = found, _size(sample.ids), engine.spec
        truth, predicted = common.truth[sample.ids], common.predicted[resize_ids(ids, size)]
        one = ConfusionMatrix.empty(common.labels)
        one.add(truth, predicted)
        report.matrix += one
        report.boundary.add(truth, predicted)
        report.sizes.add(size)
        if confidence is not None:
            report.calibration = report.calibration or Calibration()
            sure = resize_ids(confidence, size)
            report.calibration.add(truth, predicted, sure, len(common.labels))
        if maps is not None and sample.instances is not None and common.on == "classes":  # groups have no single things
            things.add(spec, sample, ids, maps)
            report.parted += 1
        report.images += 1
        if visit is not None:
            visit(Scored(sample, truth, predicted, common.labels, one.miou()))
        if progress is not None:
            progress(report.images, total)
    report.panoptic = things.quality() if report.parted else None
    return report


def _infer(engine: Engine, sample: Sample) -> tuple[Ids, Confidence | None, ThingMaps | None]:
    return infer_all(engine, sample.image)


def _size(ids: Ids) -> tuple[int, int]:
    return ids.shape[0], ids.shape[1]
