"""A run put together: its pictures, its batches and its trainer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from drivenet.data import open_dataset
from drivenet.data.base import Sample
from drivenet.data.synthetic import SyntheticDataset
from drivenet.errors import UsageError
from drivenet.labels import CAMVID, LabelSet
from drivenet.training.augment import Augment
from drivenet.training.on_device.batches import DeviceBatches
from drivenet.training.ranks import ALONE, Ranks
from drivenet.training.samples import Batches, BatchSource, Pictures, class_shares
from drivenet.training.settings import DataSettings, TrainSettings
from drivenet.training.trainer import Trainer

#: Drawn frames come four from a drive, at a size near the data set's.
FRAMES_A_DRIVE, DRAWN_WIDTH, DRAWN_HEIGHT = 4, 640, 360
#: Where there is nothing but drawn frames, so many at most are selected on.
VAL_FRAMES = 48


@dataclass(frozen=True)
class Material:
    """What a run learns from and is selected on.

    Args:
        real, drawn: pictures of the data set and of the synthetic drive.
        val: what to select on.
        labels: what the ids mean.
    """

    real: Pictures
    drawn: Pictures
    val: Pictures
    labels: LabelSet


def prepare_run(
    settings: TrainSettings, root: Path | None, folder: Path, device: str = "auto", ranks: Ranks = ALONE
) -> Trainer:
    """Load the data and set a run up in ``folder``, going on from what lies there.

    Args:
        settings: the run.
        root: folder of the data set; the settings' own if None.
        folder: the run's.
        device: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is one.
        ranks: which process of the run this is; the processes have joined.

    Raises:
        UsageError, SourceError: for missing data.
    """
    root = root or (Path(settings.data.root) if settings.data.root else None)
    return assemble(settings, load(settings.data, root), folder, ranks.device(device), ranks)


def assemble(
    settings: TrainSettings, material: Material, folder: Path, device: torch.device, ranks: Ranks = ALONE
) -> Trainer:
    """Set a run up with pictures that are loaded already; UsageError as :func:`prepare_run`."""
    weights = torch.ones(len(material.labels))
    if settings.loss.weights == "log":
        shares = class_shares(material.real or material.drawn, len(material.labels))
        weights = torch.tensor(1 / np.log(1.1 + shares), dtype=torch.float32)
        weights = weights / weights.mean()
    batches = _batches(settings, material, device, ranks)
    return Trainer(settings, batches, material.val, material.labels, weights, folder, device, ranks)


def _batches(settings: TrainSettings, material: Material, device: torch.device, ranks: Ranks) -> BatchSource:
    """Made on the device where that is wanted, else on the host."""
    m, share, wanted = material, settings.data.synthetic_share, settings.device_augment
    fit = isinstance(m.real, list) and isinstance(m.drawn, list)
    if wanted and not fit:
        raise UsageError(
            f"device_augment with {settings.data.dataset}", "a data set that fits into memory", "set it to false"
        )
    if wanted or (wanted is None and fit and device.type == "cuda"):
        return DeviceBatches(
            list(m.real), list(m.drawn), share, settings.augment, m.labels, settings.input, settings.batch,
            settings.seed, device, ranks,
        )  # fmt: skip
    augment = Augment(settings.augment, m.labels)
    return Batches(m.real, m.drawn, share, augment, settings.input, settings.batch, settings.seed, ranks)


def load(data: DataSettings, root: Path | None) -> Material:
    """The pictures that the settings name, from the folder of the data set.

    Raises:
        UsageError, SourceError: for missing data.
    """
    if data.dataset == "synthetic":
        held_out = draw("val", min(data.synthetic_frames, VAL_FRAMES))
        return Material([], draw("train", data.synthetic_frames), held_out, CAMVID)
    train, val = (open_dataset(data.dataset, root, split) for split in ("train", "val"))
    drawn = draw("train", wanted_frames(data, train.labels))
    # Cityscapes takes 24 GB decoded, so its files are read again and again; the others stay in memory.
    if data.dataset == "cityscapes":
        return Material(train, drawn, val, train.labels)
    return Material(list(train), drawn, list(val), train.labels)


def wanted_frames(data: DataSettings, labels: LabelSet) -> int:
    """How many drawn frames go with pictures of these labels."""
    return data.synthetic_frames if data.synthetic_share and labels == CAMVID else 0


def draw(split: str, frames: int) -> list[Sample]:
    """Frames of the synthetic drive, four from each."""
    if not frames:
        return []
    drives = max(1, frames // FRAMES_A_DRIVE)
    return list(SyntheticDataset(split, drives, FRAMES_A_DRIVE, width=DRAWN_WIDTH, height=DRAWN_HEIGHT))
