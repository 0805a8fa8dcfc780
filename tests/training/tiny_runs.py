"""Training runs small enough for a test: a drawn drive, a thin network, a few iterations."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from drivenet.labels import LabelSet
from drivenet.training.assemble import prepare_run
from drivenet.training.samples import Pictures, Source
from drivenet.training.sets import SetCodes
from drivenet.training.settings import AugmentSettings, TrainSettings
from drivenet.training.sources import Material
from drivenet.training.trainer import Progress, Trainer

TINY: dict[str, Any] = {
    "name": "tiny",
    "model": {"architecture": "bisenetv2", "options": {"width": 0.25, "semantic": 0.5, "head": 16}},
    "labels": "camvid",
    "data": [{"dataset": "synthetic", "frames": 4}],
    "augment": {"crop": [64, 96]},
    "optimiser": {"warmup": 2},
    "input": [64, 96],
    "batch": 2,
    "iterations": 8,
    "validate_every": 4,
    "checkpoint_every": 2,
}

#: Every chance of a variation, at 0.
UNVARIED = {name: 0.0 for name, field in AugmentSettings.model_fields.items() if field.annotation is float}


def tiny(**changes: Any) -> TrainSettings:
    """Settings of a tiny run."""
    return TrainSettings.model_validate({**TINY, **changes})


def material_of(labels: LabelSet, *sources: Pictures) -> Material:
    """Sources of one label set in equal shares, and nothing to select on."""
    return Material([Source(pictures, 1) for pictures in sources], [], SetCodes(labels))


class Stopped(Exception):
    """Raised by :func:`losses` at the iteration it was told, as a kill would end a run."""


def losses(folder: Path, settings: TrainSettings, stop_after: int | None = None) -> tuple[Trainer, dict[int, float]]:
    """Run in a folder; losses by iteration. Without a word after ``stop_after`` iterations, if given."""
    found: dict[int, float] = {}

    def report(progress: Progress) -> None:
        found[progress.iteration] = progress.loss
        if progress.iteration == stop_after:
            raise Stopped

    trainer = prepare_run(settings, None, folder, "cpu")
    with contextlib.suppress(Stopped):
        trainer.run(report)
    return trainer, found
