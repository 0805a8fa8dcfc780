"""What an engine with centres finds in a labelled picture, against things with ids: panoptic quality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from drivenet.classmap import Ids, ThingMaps
from drivenet.data.base import Sample
from drivenet.evaluation.calibration import as_number
from drivenet.evaluation.comparison import Comparison
from drivenet.modelspec import ModelSpec
from drivenet.panoptic import CITYSCAPES_THINGS, segments, thing_classes, thing_table
from drivenet.panoptic.quality import PanopticQuality
from drivenet.prepare import Size, resize_ids
from drivenet.scene import parted
from drivenet.things import UNSURE, InstanceMap
from drivenet.things.measure import of_one_class


class ThingScore:
    """Panoptic quality over pictures.

    Cityscapes' things are things. Of other label sets, a class that occurs and of which no picture's truth has a single
    one (signs, mostly) is stuff: no found one could be right.

    Args:
        common: what is compared, on classes.
    """

    def __init__(self, common: Comparison) -> None:
        labels = common.labels
        self.common = common
        self._things = PanopticQuality.empty(labels, thing_classes(labels))
        self._stuff = PanopticQuality.empty(labels, ())
        self._table = thing_table(labels, self._things.things)
        self._seen, self._single = np.zeros(256, np.bool_), np.zeros(256, np.bool_)

    def add(self, spec: ModelSpec, sample: Sample, ids: Ids, maps: ThingMaps) -> None:
        """Count one picture; one whose truth has no instances is left out.

        Args:
            spec: of the engine.
            sample: the truth, (H, W).
            ids, maps: what the engine gave, without the bars of a letterbox.
        """
        if sample.instances is None or spec.things is None:
            return
        truth, single = self.common.truth[sample.ids], sample.instances
        if single.dtype == np.uint8:
            truth = np.where(single == UNSURE, np.uint8(UNSURE), truth)
        self._seen[truth], self._single[truth[single > 0]] = True, True
        instances = parted(ids, maps, spec.things, spec.label_set).instances
        found, numbers = compared(ids, instances, self.common, (truth.shape[0], truth.shape[1]))
        self._things.add(
            segments(truth, single, self._table, crowds=True), segments(found, numbers.astype(np.int64), self._table)
        )
        if self._whole():
            nothing, table = np.zeros(truth.shape, np.int64), np.zeros(256, np.bool_)
            self._stuff.add(segments(truth, nothing, table), segments(found, nothing, table))

    def quality(self) -> PanopticQuality:
        """The counts so far."""
        whole = [name for name in self._whole() if self._seen[self.common.labels.id_of(name)]]
        rows = [self.common.labels.id_of(name) for name in whole]
        counts = self._things.counts.copy()
        counts[rows] = self._stuff.counts[rows]
        return PanopticQuality(self.common.labels, tuple(t for t in self._things.things if t not in whole), counts)

    def _whole(self) -> list[str]:
        """The classes that may be stuff: the truth had no single one so far."""
        things = self._things.things
        own = things != CITYSCAPES_THINGS
        return [name for name in things if own and not self._single[self.common.labels.id_of(name)]]


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
