"""The synthetic drive as a dataset: several drives with seeds that are never trained on, frames far apart."""

from __future__ import annotations

from pathlib import Path

from drivenet.data.base import Dataset, Sample
from drivenet.labels import CAMVID, LabelSet
from drivenet.synthetic import HELD_OUT_SEED, SyntheticDrive

WIDTH, HEIGHT, FPS = 960, 540, 30.0
#: First seed by split. Training draws below ``HELD_OUT_SEED``; val and test are apart from it and each other.
FIRST_SEED = {"train": 0, "val": HELD_OUT_SEED, "test": 2 * HELD_OUT_SEED}


class SyntheticDataset(Dataset):
    """Every sample is drawn when it is asked for, and is always the same.

    Args:
        split: ``train``, ``val`` or ``test``: which seeds.
        drives: how many seeds.
        frames: of each drive.
        spacing: indices from one frame of a drive to the next.
        width: of the pictures.
        height: of the pictures.
        labels: the classes, Cityscapes' or CamVid's.
    """

    name = "synthetic"

    def __init__(
        self, split: str, drives: int = 12, frames: int = 4, spacing: int = 97, width: int = WIDTH,
        height: int = HEIGHT, labels: LabelSet = CAMVID,
    ) -> None:  # fmt: skip
        self.split, self.frames, self.spacing, self.labels = split, frames, spacing, labels
        self.drives = [SyntheticDrive(width, height, FPS, FIRST_SEED[split] + i, labels) for i in range(drives)]

    def __len__(self) -> int:
        return len(self.drives) * self.frames

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        drive, frame = self.drives[index // self.frames], index % self.frames * self.spacing
        drawn = drive.frame(frame)
        return Sample(drawn.image, drawn.ids, f"synthetic seed {drive.seed} frame {frame}", drawn.instances)


def open_synthetic(root: Path | None, split: str, labels: LabelSet | None = None) -> Dataset:
    """The drives of a split in their standard number and size, in CamVid's classes unless others are asked for."""
    return SyntheticDataset(split, labels=labels or CAMVID)
