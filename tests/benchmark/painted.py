"""Sequences painted in the colours of a label set, so that an engine that knows the colours is right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx_models import paint

from drivenet.classmap import Ids
from drivenet.data.sequences.base import Flow, FrameSequence, Mask, Truth, VideoSet
from drivenet.frame import Image
from drivenet.labels import CITYSCAPES, LabelSet

SIZE = (32, 48)
ROAD, SKY, CAR, PERSON = (CITYSCAPES.id_of(name) for name in ("road", "sky", "car", "person"))


class Painted(FrameSequence):
    """A car that moves two pixels a frame over a road below the sky.

    Args:
        name, group: of the sequence.
        frames: how many.
        labelled: which have truth; all without.
        shown: ids by frame that are painted instead of the truth.
    """

    def __init__(self, name: str, group: str = "town", frames: int = 10, labelled: tuple[int, ...] | None = None,
                 shown: dict[int, Ids] | None = None, labels: LabelSet = CITYSCAPES) -> None:  # fmt: skip
        names = tuple(f"{name}_{i:06d}" for i in range(frames))
        super().__init__(name, group, names, tuple(range(frames)) if labelled is None else labelled, 17.0)
        self.shown, self.labels = shown or {}, labels

    def ids(self, index: int) -> Ids:
        ids = np.full(SIZE, SKY, np.uint8)
        ids[12:] = ROAD
        ids[14:24, 2 + 2 * index : 14 + 2 * index] = CAR
        return ids

    def frames(self) -> Iterator[Image]:
        return (paint(self.shown.get(i, self.ids(i)), self.labels) for i in range(len(self)))

    def truth(self, index: int) -> Truth:
        ids = self.ids(index)
        return Truth(ids, np.where(ids == CAR, 7, 0).astype(np.int32))

    def flow(self, index: int) -> tuple[Flow, Mask]:
        flow = np.zeros((*SIZE, 2), np.float32)
        flow[self.ids(index) == CAR, 0] = -2
        seen = np.ones(SIZE, np.bool_)
        seen[14:24, 2 * index : 2 + 2 * index] = False  # was behind the car
        return flow, seen


class Growing(Painted):
    """Two cars that stand apart: the left one loses a column with every frame, the right one wins one."""

    def ids(self, index: int) -> Ids:
        ids = np.full(SIZE, ROAD, np.uint8)
        ids[8:24, 4 : 20 - index] = CAR
        ids[8:24, 32 - index : 40] = CAR
        return ids

    def truth(self, index: int) -> Truth:
        ids = self.ids(index)
        return Truth(ids, np.where(ids == CAR, np.where(np.arange(SIZE[1]) < 20, 7, 9), 0).astype(np.int32))


class Touching(Painted):
    """Two cars that stand side by side, as one blob of the class."""

    def ids(self, index: int) -> Ids:
        ids = np.full(SIZE, ROAD, np.uint8)
        ids[8:24, 8:40] = CAR
        return ids

    def truth(self, index: int) -> Truth:
        ids = self.ids(index)
        return Truth(ids, np.where(ids == CAR, np.where(np.arange(SIZE[1]) < 24, 7, 9), 0).astype(np.int32))


class Beside(Painted):
    """A person at either end of a car, all in touch."""

    def ids(self, index: int) -> Ids:
        ids = np.full(SIZE, ROAD, np.uint8)
        ids[12:24, 12:36] = CAR
        ids[8:28, 6:12] = ids[8:28, 36:42] = PERSON
        return ids

    def truth(self, index: int) -> Truth:
        ids = self.ids(index)
        numbers = np.where(ids == ROAD, 0, np.where(ids == CAR, 1, 2 + np.arange(SIZE[1]) // 24))
        return Truth(ids, numbers.astype(np.int32))


def maps_of_touching() -> tuple[np.ndarray, np.ndarray]:
    """Centres of both cars on cells of two pixels, and offsets that lead to the nearer one."""
    rows, columns = np.mgrid[: SIZE[0] // 2, : SIZE[1] // 2]
    centres = np.zeros(rows.shape, np.uint8)
    centres[8, [8, 16]] = 200
    offsets = np.stack([128 + 8 - rows, 128 + np.where(columns < 12, 8, 16) - columns])
    return centres, offsets.astype(np.uint8)


def video(*sequences: FrameSequence, things: tuple[str, ...] = ("car",)) -> VideoSet:
    return VideoSet("painted", "val", CITYSCAPES, sequences, things)
