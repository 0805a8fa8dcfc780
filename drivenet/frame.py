"""One captured picture and when it was captured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivenet.errors import SourceError

Image = npt.NDArray[np.uint8]


def frozen(array: Image) -> Image:
    """The same pixels as an array that cannot be written to; the given one stays as it is."""
    view: Image = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture from a source.

    Args:
        image: (H, W, 3) uint8 BGR, C-contiguous. The frame holds it read-only: who wants to draw takes a copy.
        index: counts every captured frame from 0, also those dropped later.
        captured_ns: ``time.monotonic_ns()`` when the pixels were complete in memory;
            in fixed-rate replay the time at which the frame fell due.
        media_ns: when its recording shows it, from the first picture on; None where nothing says so, as in a live
            source or a replay at a fixed rate.
        file: the picture file that it is, below the folder that was named as the source; empty for all else.

    Raises:
        SourceError: if the image is anything else.
    """

    image: Image
    index: int
    captured_ns: int
    media_ns: int | None = None
    file: str = ""

    def __post_init__(self) -> None:
        a = self.image
        good = isinstance(a, np.ndarray) and a.dtype == np.uint8 and a.ndim == 3 and a.shape[2] == 3 and a.size > 0
        if not good or not a.flags.c_contiguous:
            got = f"{a.dtype} {a.shape}" if isinstance(a, np.ndarray) else type(a).__name__
            raise SourceError(f"frame {self.index} is {got}", "a C-contiguous HxWx3 uint8 BGR image")
        object.__setattr__(self, "image", frozen(a))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def __repr__(self) -> str:
        h, w = self.size
        return f"Frame(index={self.index}, {w}x{h} BGR uint8, captured_ns={self.captured_ns})"
