"""The synthetic drive as a video set: every frame labelled, with things and exact optical flow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drivenet.data.sequences.base import Flow, FrameSequence, Mask, Truth, VideoSet
from drivenet.data.synthetic import FIRST_SEED
from drivenet.frame import Image
from drivenet.labels import CITYSCAPES
from drivenet.panoptic import CITYSCAPES_THINGS
from drivenet.synthetic import SyntheticDrive

WIDTH, HEIGHT, FPS = 1024, 512, 17.0
DRIVES, FRAMES = 6, 30


class SyntheticSequence(FrameSequence):
    """One drive from its start; drawn as it is asked for, always the same.

    Args:
        seed: of the drive.
        frames: how many.
        size: (height, width).
        every: one frame in so many is labelled.
    """

    def __init__(
        self, seed: int, frames: int = FRAMES, size: tuple[int, int] = (HEIGHT, WIDTH), every: int = 1
    ) -> None:
        names = tuple(f"drive_{seed:06d}_{i:06d}" for i in range(frames))
        super().__init__(f"drive_{seed:06d}", "synthetic", names, tuple(range(0, frames, every)), FPS)
        self.drive = SyntheticDrive(size[1], size[0], FPS, seed, CITYSCAPES)

    def frames(self) -> Iterator[Image]:
        """The frames, drawn one by one."""
        return (self.drive.frame(i).image for i in range(len(self)))

    def truth(self, index: int) -> Truth:
        """Classes and things of every pixel; things of classes that Cityscapes does not count have none."""
        drawn = self.drive.frame(index)
        return Truth(drawn.ids, drawn.instances)

    def flow(self, index: int) -> tuple[Flow, Mask]:
        """Exact flow to the frame before."""
        return self.drive.flow(index, index - 1)


def open_synthetic_video(root: Path | None, split: str) -> VideoSet:
    """Drives whose seeds are never trained on (but for ``train``), at 1024x512 and 17 Hz."""
    sequences = tuple(SyntheticSequence(FIRST_SEED[split] + i) for i in range(DRIVES))
    return VideoSet("synthetic-video", split, CITYSCAPES, sequences, CITYSCAPES_THINGS)
