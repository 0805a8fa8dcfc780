"""What a benchmark asks of a video set: sequences of consecutive frames, of which some have truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.frame import Image
from drivenet.labels import LabelSet

Instances = npt.NDArray[np.int32]
Flow = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of one frame.

    Args:
        ids: (H, W) uint8 class ids, 255 without truth.
        instances: (H, W) int32, 0 where no single thing is known (a crowd, or a class that is not counted); ids last
            over the sequence and are below 65536. None where the set has no instances.
    """

    ids: Ids
    instances: Instances | None = None


class FrameSequence:
    """Frames of one camera in order. Reading raises SourceError for what cannot be read.

    Args:
        name: distinct within its set.
        group: what it is part of: a city, a drive.
        names: of the frames, in order; outputs bear them.
        labelled: which frames have truth, ascending.
        fps: at which they were recorded, 0 where that is not known.
        consecutive: whether the frames are so close in time that motion between them can be followed.
        starts: frames that do not follow the one before them, since others were left out between them.
    """

    def __init__(self, name: str, group: str, names: tuple[str, ...], labelled: tuple[int, ...], fps: float = 0.0,
                 consecutive: bool = True, starts: Iterable[int] = ()) -> None:  # fmt: skip
        self.name, self.group, self.names, self.labelled = name, group, names, labelled
        self.fps, self.consecutive, self.starts = fps, consecutive and len(names) > 1, frozenset(starts)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self)} frames, {len(self.labelled)} labelled)"

    @property
    def files(self) -> tuple[Path, ...]:
        """What it is read from; nothing of what is drawn."""
        return ()

    def place(self, index: int) -> Path:
        """Where a frame is kept: its file without the suffix, or its number below its video."""
        return Path(self.name, self.names[index])

    def frames(self) -> Iterator[Image]:
        """The images, (H, W, 3) uint8 BGR, one for each name."""
        raise NotImplementedError

    def truth(self, index: int) -> Truth:
        """The truth of a labelled frame."""
        raise NotImplementedError

    def flow(self, index: int) -> tuple[Flow, Mask] | None:
        """Exact optical flow from a frame to the one before it, if the set knows it.

        Returns:
            flow (H, W, 2) float32 of columns and rows, and a mask that is False where the surface was not seen before.
        """
        return None


@dataclass(frozen=True, eq=False)
class VideoSet:
    """The sequences of one split.

    Args:
        name, split: of the set; a listed one has no split: empty.
        labels: what the ids mean.
        sequences: at least one.
        things: names of the classes whose instances the truth tells; none where it has no instances.
        missing: what the layout asks for and is not there, a line each; it is left out.
    """

    name: str
    split: str
    labels: LabelSet
    sequences: tuple[FrameSequence, ...]
    things: tuple[str, ...] = ()
    missing: tuple[str, ...] = field(default=())

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return sum(map(len, self.sequences))

    @property
    def labelled(self) -> int:
        """How many frames have truth."""
        return sum(len(sequence.labelled) for sequence in self.sequences)
