"""Dense optical flow: computed (DIS), exact, or read from files; and what it carries from one frame to another."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.data.flow_files import read_flow
from drivenet.data.sequences.base import Flow, FrameSequence, Mask
from drivenet.errors import SourceError, UsageError
from drivenet.frame import Image
from drivenet.picture_files import list_files

T = TypeVar("T", np.uint8, np.float32)


def dis_flow(start: Image, end: Image) -> Flow:
    """Where every pixel of ``start`` is in ``end``, relative to its place, (H, W, 2) x, y (Kroeger et al. 2016).

    Args:
        start, end: (H, W) uint8 grey, equally large.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_MEDIUM)
    return np.asarray(dis.calc(start, end, None), np.float32)  # type: ignore[call-overload]


def grid(shape: tuple[int, ...]) -> Flow:
    """The place of every pixel, (H, W, 2) x, y."""
    return np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), -1).astype(np.float32)


def carried(pixels: npt.NDArray[T], places: Flow, interpolation: int) -> npt.NDArray[T]:
    """The pixels at some places; 0 outside the image."""
    x, y = (np.ascontiguousarray(places[..., i]) for i in (0, 1))
    return np.asarray(cv2.remap(pixels, x, y, interpolation), pixels.dtype)


def inside(places: Flow) -> Mask:
    """Which places are in the image."""
    height, width = places.shape[:2]
    x, y = places[..., 0], places[..., 1]
    return np.asarray((x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1))


def resize_flow(flow: Flow, size: tuple[int, int]) -> Flow:
    """A flow at another size (height, width), its vectors scaled alike."""
    height, width = flow.shape[:2]
    if (height, width) == size:
        return flow
    out = cv2.resize(flow, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out * np.array([size[1] / width, size[0] / height]), np.float32)


@dataclass(frozen=True)
class FlowSource:
    """Where the flow from a frame to the one before it comes from.

    Args:
        name: ``dis``, ``exact``, or the folder that the files are in.
        files: by name of the frame, ``.flo`` or KITTI's PNG.
    """

    name: str = "dis"
    files: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str) -> FlowSource:
        """``dis``, ``exact`` (of sets that know it) or a folder; SourceError if that holds no flow."""
        if name in ("dis", "exact"):
            return cls(name)
        files = {f.stem: f for f in list_files(Path(name), (".flo", ".png"), recursive=True)}
        if not files:
            raise SourceError(f"{name} holds no flow", "NAME.flo or KITTI's NAME.png for each frame, to the one before")
        return cls(name, files)

    def backward(self, sequence: FrameSequence, index: int, before: Image, after: Image) -> tuple[Flow, Mask]:
        """Flow from frame ``index`` to the one before it, at the size of two grey images of them.

        Returns:
            flow (H, W, 2), and where it is known and ends inside the image.

        Raises:
            SourceError, UsageError: where there is none of that frame.
        """
        size = after.shape[0], after.shape[1]
        if self.name == "dis":
            flow, known = dis_flow(after, before), np.ones(size, np.bool_)
        else:
            flow, known = self._stored(sequence, index)
            flow = resize_flow(np.where(known[..., None], flow, np.float32(0)), size)
            # a pixel is known where all that it is made of is
            parts = cv2.resize(known.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
            known = np.asarray(parts > 0.999)
        return flow, known & inside(grid(size) + flow)

    def _stored(self, sequence: FrameSequence, index: int) -> tuple[Flow, Mask]:
        name = sequence.names[index]
        if self.name == "exact":
            exact = sequence.flow(index)
            if exact is None:
                raise UsageError(f"exact flow of {sequence.name}", "a set that knows it, such as synthetic-video")
            return exact
        if name not in self.files:
            raise SourceError(f"{self.name} has no flow of {name}", f"{name}.flo or {name}.png")
        return read_flow(self.files[name])
