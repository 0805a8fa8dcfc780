"""Training of the zoo's networks. Needs torch (extra ``[train]``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from drivenet.data import open_dataset
from drivenet.data.base import Sample
from drivenet.data.synthetic import SyntheticDataset
from drivenet.training.augment import Augment
from drivenet.training.samples import Batches, class_shares
from drivenet.training.settings import TrainSettings
from drivenet.training.trainer import Trainer

#: Drawn frames come four from a drive, at a size near the data set's.
FRAMES_A_DRIVE, DRAWN_WIDTH, DRAWN_HEIGHT = 4, 640, 360


def prepare_run(settings: TrainSettings, root: Path | None, folder: Path, device: str = "auto") -> Trainer:
    """Load the data and set a run up in ``folder``, going on from what lies there.

    Args:
        settings: the run.
        root: folder of the data set; the settings' own if None.
        folder: the run's.
        device: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is one.

    Raises:
        UsageError, SourceError: for missing data.
    """
    root = root or (Path(settings.data.root) if settings.data.root else None)
    name = settings.data.dataset
    train, val = (open_dataset(name, root, split) for split in ("train", "val"))
    labels = train.labels
    real = [] if name == "synthetic" else list(train)
    drawn = _drawn(settings) if labels.name == SyntheticDataset.labels.name else []
    augment = Augment(settings.augment, labels)
    batches = Batches(
        real, drawn, settings.data.synthetic_share, augment, settings.input, settings.batch, settings.seed
    )
    weights = torch.ones(len(labels))
    if settings.loss.weights == "log":
        shares = class_shares(real or drawn, len(labels))
        weights = torch.tensor(1 / np.log(1.1 + shares), dtype=torch.float32)
        weights = weights / weights.mean()
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return Trainer(settings, batches, list(val), labels, weights, folder, chosen)


def _drawn(settings: TrainSettings) -> list[Sample]:
    if settings.data.synthetic_share == 0 or settings.data.synthetic_frames == 0:
        return []
    drives = max(1, settings.data.synthetic_frames // FRAMES_A_DRIVE)
    return list(SyntheticDataset("train", drives, FRAMES_A_DRIVE, width=DRAWN_WIDTH, height=DRAWN_HEIGHT))
