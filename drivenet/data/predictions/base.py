"""What a format of predictions is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.errors import SinkError
from drivenet.files import write_atomic
from drivenet.labels import LabelSet


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was found in one frame, at the size of its label.

    Args:
        name: of the frame.
        sequence: its sequence's name.
        group: what that is part of, such as a city.
        ids: (H, W) uint8 class ids, 255 for none.
        instances: (H, W) of single things, 0 for none.
        parted: (H, W) as ``ids``, but each thing is of one class; None where that makes no difference.
        place: where the frame is kept, as a sequence tells it; None for its name.
    """

    name: str
    sequence: str
    group: str
    ids: Ids
    instances: npt.NDArray[np.integer]
    parted: Ids | None = None
    place: Path | None = None

    @property
    def of_things(self) -> Ids:
        """The class ids for formats with single things."""
        return self.ids if self.parted is None else self.parted


class PredictionWriter:
    """Writes predictions, file by file and whole; what belongs to all of them when it is closed.

    Args:
        folder, labels, things: as of :func:`~drivenet.data.predictions.open_writer`.
    """

    #: Whether the ids of things are to last over a sequence.
    lasting = False

    def __init__(self, folder: Path, labels: LabelSet, things: tuple[str, ...]) -> None:
        self.folder, self.labels, self.things = folder, labels, things

    def add(self, prediction: Prediction) -> None:
        """Write one; SinkError if it cannot be."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what lists them all."""

    def write(self, place: str, content: bytes | str) -> None:
        """A file within the folder; SinkError if it cannot be written."""
        file = self.folder / place
        try:
            write_atomic(file, content)
        except OSError as error:
            raise SinkError(f"cannot write {file}: {error.strerror or error}", "a writable folder") from error


def png(pixels: npt.NDArray[Any]) -> bytes:
    """Grey values, or BGR, as a PNG."""
    return cv2.imencode(".png", pixels)[1].tobytes()
