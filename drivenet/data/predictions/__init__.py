"""Predictions in the formats that official evaluations and annotation tools read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drivenet.data.predictions.base import Prediction, PredictionWriter
from drivenet.data.predictions.coco import CocoInstances, CocoPanopticFiles
from drivenet.data.predictions.masks import CityscapesMasks, CvatMasks, StepMasks
from drivenet.errors import UsageError, nearest
from drivenet.labels import LabelSet

__all__ = ["FORMATS", "Prediction", "PredictionWriter", "open_writer"]

FORMATS: dict[str, Callable[[Path, LabelSet, tuple[str, ...]], PredictionWriter]] = {
    "cityscapes": CityscapesMasks,
    "coco": CocoInstances,
    "coco-panoptic": CocoPanopticFiles,
    "cvat": CvatMasks,
    "step": StepMasks,
}


def open_writer(name: str, folder: Path, labels: LabelSet, things: tuple[str, ...]) -> PredictionWriter:
    """A writer into a folder.

    Args:
        name: one of :data:`FORMATS`.
        folder: made if it is not there.
        labels: what the ids mean.
        things: names of the classes whose instances are single things.

    Raises:
        UsageError: for another format, or labels that it cannot hold.
    """
    if name not in FORMATS:
        raise UsageError(f"no format {name!r}", cure=nearest(name, FORMATS))
    return FORMATS[name](folder, labels, things)
