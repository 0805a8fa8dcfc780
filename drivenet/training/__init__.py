"""Training of the zoo's networks. Needs torch (extra ``[train]``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from drivenet.data import open_dataset
from drivenet.data.base import Sample
from drivenet.data.synthetic import SyntheticDataset
from drivenet.labels import LabelSet
from drivenet.training.augment import Augment
from drivenet.training.samples import Batches, Pictures, class_shares
from drivenet.training.settings import DataSettings, TrainSettings
from drivenet.training.trainer import Trainer

#: Drawn frames come four from a drive, at a size near the data set's.
FRAMES_A_DRIVE, DRAWN_WIDTH, DRAWN_HEIGHT = 4, 640, 360
#: Where there is nothing but drawn frames, so many at most are selected on.
VAL_FRAMES = 48


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
    real, drawn, val, labels = _pictures(settings.data, root)
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
    return Trainer(settings, batches, val, labels, weights, folder, chosen)


def _pictures(data: DataSettings, root: Path | None) -> tuple[Pictures, Pictures, Pictures, LabelSet]:
    """Real and drawn pictures to learn from, those to select on, and what their ids mean."""
    if data.dataset == "synthetic":
        held_out = _drawn("val", min(data.synthetic_frames, VAL_FRAMES))
        return [], _drawn("train", data.synthetic_frames), held_out, SyntheticDataset.labels
    train, val = (open_dataset(data.dataset, root, split) for split in ("train", "val"))
    wanted = data.synthetic_frames if data.synthetic_share and train.labels == SyntheticDataset.labels else 0
    # Cityscapes takes 24 GB decoded, so its files are read again and again; the others stay in memory.
    drawn = _drawn("train", wanted)
    if data.dataset == "cityscapes":
        return train, drawn, val, train.labels
    return list(train), drawn, list(val), train.labels


def _drawn(split: str, frames: int) -> list[Sample]:
    if not frames:
        return []
    drives = max(1, frames // FRAMES_A_DRIVE)
    return list(SyntheticDataset(split, drives, FRAMES_A_DRIVE, width=DRAWN_WIDTH, height=DRAWN_HEIGHT))
