"""What evaluation and training ask of labelled pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.errors import SourceError
from drivenet.frame import Image
from drivenet.labels import LabelSet


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture with its truth.

    Args:
        image: (H, W, 3) uint8 BGR.
        ids: (H, W) uint8 class ids; 255 where there is no truth.
        name: how messages name it.
        instances: (H, W) integers, an id for each countable thing, 0 elsewhere; None where there is no such truth. In
            8-bit ones 255 is where nobody knows which thing it is; in others things with 0 are a group.

    Raises:
        SourceError: if picture, ids and instances differ in size.
    """

    image: Image
    ids: Ids
    name: str
    instances: npt.NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        if self.image.shape[:2] != self.ids.shape:
            raise SourceError(f"{self.name}: picture {self.image.shape[:2]}, labels {self.ids.shape}", "equal sizes")
        if self.instances is not None and self.instances.shape != self.ids.shape:
            raise SourceError(f"{self.name}: instances {self.instances.shape}, labels {self.ids.shape}", "equal sizes")

    def __repr__(self) -> str:
        h, w = self.ids.shape
        return f"Sample({self.name!r}, {w}x{h} BGR uint8 with ids)"


class Dataset:
    """Labelled pictures, by number. Reading one raises SourceError if its files are not right."""

    #: Dataset and split, as summaries name them.
    name = "dataset"
    split = ""
    #: What the ids mean.
    labels: LabelSet

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Sample:
        """The sample with a number of 0 .. len - 1; IndexError outside."""
        raise NotImplementedError

    @property
    def files(self) -> tuple[Path, ...]:
        """What it is read from; nothing of what is drawn."""
        return ()

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))
