"""One captured picture and when it was captured."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from drivenet.errors import SourceError

Image = npt.NDArray[np.uint8]


def frozen(array: Image) -> Image:
    """The same pixels as an array that cannot be written to; the given one stays as it is."""
    view: Image = array.view()
    view.flags.writeable = False
    return view


class Decoded(Protocol):
    """A picture as its decoder gave it, not yet in BGR. Its methods may be called from any thread."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...

    def whole(self) -> Image:
        """(H, W, 3) uint8 BGR, C-contiguous, converted when it is first asked for."""
        ...

    def resized(self, size: tuple[int, int]) -> Image:
        """(height, width, 3) uint8 BGR, C-contiguous: the mean over the area of each new pixel where it shrinks."""
        ...

    def sampled(self, step: int) -> Image:
        """Every so many pixels either way, (h, w, 3) uint8 BGR."""
        ...


@dataclass(frozen=True, eq=False, init=False)
class Frame:
    """A picture from a source.

    Args:
        image: (H, W, 3) uint8 BGR, C-contiguous. The frame holds it read-only: who wants to draw takes a copy. A source
            may give what its decoder gave instead (``drivenet.frame.Decoded``), which is converted once somebody looks
            at it.
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
    media_ns: int | None
    file: str
    #: What its decoder gave, if it was made of that.
    decoded: Decoded | None = field(init=False)

    def __init__(
        self, image: Image | Decoded, index: int, captured_ns: int, media_ns: int | None = None, file: str = ""
    ) -> None:
        held = {"index": index, "captured_ns": captured_ns, "media_ns": media_ns, "file": file, "decoded": None}
        self.__dict__.update(held)
        if isinstance(image, np.ndarray) or not hasattr(image, "whole"):
            self.__dict__["image"] = frozen(_checked(image, index))
        else:
            self.__dict__["decoded"] = image

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Image:
            """The image that nobody has looked at yet: all other attributes are there."""
            if name != "image":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            image = self.__dict__["image"] = frozen(self.decoded.whole())
            return image

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "image": self.image, "decoded": None}

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[:2] if self.decoded is None else self.decoded.size

    def changed(self, **changes: Any) -> Frame:
        """The same picture with other fields, as ``dataclasses.replace`` has it, but not converted for that."""
        return replace(self, **{"image": self.decoded or self.image, **changes})

    def sampled(self, step: int) -> Image:
        """Every so many pixels either way, (h, w, 3) uint8 BGR."""
        return self.image[::step, ::step] if self.decoded is None else self.decoded.sampled(step)

    def __repr__(self) -> str:
        h, w = self.size
        return f"Frame(index={self.index}, {w}x{h} BGR uint8, captured_ns={self.captured_ns})"


def _checked(image: Any, index: int) -> Image:
    good = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    if not good or not image.size or not image.flags.c_contiguous:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise SourceError(f"frame {index} is {got}", "a C-contiguous HxWx3 uint8 BGR image")
    return cast("Image", image)
