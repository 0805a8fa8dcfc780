"""What an engine with centres finds in a labelled picture, against things with ids: panoptic quality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids, ThingMaps
from drivenet.data.base import Sample
from drivenet.evaluation.calibration import as_number
from drivenet.evaluation.comparison import Comparison
from drivenet.modelspec import ModelSpec
from drivenet.panoptic import Segments, segments, thing_classes, thing_table
from drivenet.panoptic.quality import PanopticQuality
from drivenet.prepare import Size, resize_ids
from drivenet.scene import parted
from drivenet.things import UNSURE, InstanceMap
from drivenet.things.measure import of_one_class


def panoptic_of(common: Comparison) -> PanopticQuality | None:
    """Counts to add to; None where engine and truth are compared on groups, in which single things are not told."""
    if common.on != "classes":
        return None
    return PanopticQuality.empty(common.labels, thing_classes(common.labels))


def count_things(
    quality: PanopticQuality, common: Comparison, spec: ModelSpec, sample: Sample, ids: Ids, maps: ThingMaps
) -> None:
    """Count one picture; one whose truth has no instances is left out.

    Args:
        quality: is added to.
        common: what is compared.
        spec: of the engine.
        sample: the truth, (H, W).
        ids, maps: what the engine gave, without the bars of a letterbox.
    """
    if sample.instances is None or spec.things is None:
        return
    table = thing_table(quality.labels, quality.things)
    truth = common.truth[sample.ids]
    if sample.instances.dtype == np.uint8:
        truth = np.where(sample.instances == UNSURE, np.uint8(UNSURE), truth)
    found = _predicted(ids, maps, spec, common, table, (truth.shape[0], truth.shape[1]))
    quality.add(segments(truth, sample.instances, table, crowds=True), found)


def panoptic_dict(quality: PanopticQuality) -> dict[str, Any]:
    """As JSON: ``all``, ``things`` and ``stuff`` with ``pq``, ``sq``, ``rq``; ``precision`` and ``recall`` of all
    things at IoU 0.5; ``by_class``. 0..1, None for what does not occur.
    """
    precision, recall = precision_recall(quality)
    parts = _rounded({**quality.means(), "by_class": quality.by_class()})
    return {**parts, "precision": as_number(precision), "recall": as_number(recall)}


def headline(quality: PanopticQuality) -> dict[str, float]:
    """The figures that tables and pages have, by the name of their row, 0..1."""
    means = quality.means()
    return {"PQ": means["all"]["pq"], "PQ of things": means["things"]["pq"]}


def found_things(quality: PanopticQuality, percent: Callable[[float], str]) -> str:
    """How many of the found things are there, and of those there are found, whatever their class, for people.

    Args:
        quality: of all pictures.
        percent: writes a share, which may be NaN.
    """
    precision, recall = map(percent, precision_recall(quality))
    return f"at IoU 0.5 {precision} of the found things are there, {recall} of those there are found"


def precision_recall(quality: PanopticQuality) -> tuple[float, float]:
    """Of all things at IoU 0.5, whatever their class; NaN without any to count."""
    rows = [quality.labels.id_of(name) for name in quality.things]
    _, hits, wrong, missed = quality.counts[rows].sum(0).tolist()
    nothing = float("nan")
    return hits / (hits + wrong) if hits + wrong else nothing, hits / (hits + missed) if hits + missed else nothing


def _predicted(
    ids: Ids, maps: ThingMaps, spec: ModelSpec, common: Comparison, table: npt.NDArray[np.bool_], size: Size
) -> Segments:
    """What the engine gave, each thing with the class that most of its pixels have; other thing pixels are none."""
    assert spec.things is not None
    found, instances = compared(ids, parted(ids, maps, spec.things, spec.label_set).instances, common, size)
    return segments(found, instances.astype(np.int64), table)


def compared(ids: Ids, instances: InstanceMap, common: Comparison, size: Size) -> tuple[Ids, InstanceMap]:
    """A prediction as it is compared: each thing with the class that most of its pixels have.

    Args:
        ids, instances: (H', W') of the engine.
        common: what is compared.
        size: (H, W) of the truth.

    Returns:
        (H, W) ids in the classes compared on, and instances.
    """
    whole = resize_ids(of_one_class(ids, instances), size)
    return np.asarray(common.predicted[whole]), resize_ids(instances, size)


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {k: _rounded(v) if isinstance(v, dict) else as_number(v) for k, v in values.items()}
