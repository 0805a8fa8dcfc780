"""What PyAV decodes, in BGR once it is asked for: whole, or at once at the size of an engine's input."""

from __future__ import annotations

import threading

import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from drivenet.errors import SourceError
from drivenet.frame import Image
from drivenet.sources.turning import Turn, turned

#: A size and how it is reached.
_Way = tuple[int, int, Interpolation]
#: Sizes for which a thread keeps the tables.
_SIZES = 8


class Converter(threading.local):
    """Converts the pictures of one source to BGR.

    Each thread has tables of its own for each size: making them takes thrice the time of the pixels.

    Args:
        name: how messages call the source; without credentials.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._made: dict[_Way, VideoReformatter] = {}

    def __call__(self, picture: VideoFrame, width: int, height: int, how: Interpolation) -> Image:
        """(height, width, 3) uint8 BGR, C-contiguous; SourceError for colours that cannot be converted."""
        way = width, height, how
        if way not in self._made and len(self._made) >= _SIZES:
            self._made.clear()
        made = self._made.setdefault(way, VideoReformatter())
        try:
            # one thread: swscale's start-up of several costs more than it saves at these sizes
            image = made.reformat(picture, width, height, "bgr24", interpolation=how, threads=1).to_ndarray()
        except av.error.FFmpegError as error:
            why = (error.strerror or "unknown error").lower()
            colours = f"{picture.format.name} with matrix {picture.colorspace}"
            raise SourceError(
                f"{self.name} has colours that cannot be converted ({colours}): {why}",
                "BT.601, BT.709 or BT.2020 (matrix 1, 5, 6 or 9 of H.273)",
                "convert it to H.264",
            ) from None
        return np.ascontiguousarray(image, np.uint8)  # rows of odd widths are padded


class DecodedPicture:
    """See :class:`~drivenet.frame.Decoded`: converted when it is asked for, turned and mirrored as its mark says.

    An engine's input is taken from the planes as they were decoded, which is a quarter of the work of converting the
    whole picture and resizing that.

    Args:
        picture: as PyAV gave it.
        turn: of the pixels.
        converter: of its source.
    """

    def __init__(self, picture: VideoFrame, turn: Turn, converter: Converter) -> None:
        self._picture, self._turn, self._converter = picture, turn, converter
        self._lock = threading.Lock()  # a conversion writes to the picture, and puts back what it found
        self._whole: Image | None = None
        self.size = self._turned_size(picture.height, picture.width)

    def whole(self) -> Image:
        """(H, W, 3) uint8 BGR, C-contiguous; the same array each time."""
        with self._lock:
            if self._whole is None:
                self._whole = self._bgr(self.size, Interpolation.BILINEAR)
            return self._whole

    def resized(self, size: tuple[int, int]) -> Image:
        """(height, width, 3) uint8 BGR: the mean over the area of each new pixel, bilinear where it grows."""
        with self._lock:
            return self._bgr(size, Interpolation.AREA)

    def sampled(self, step: int) -> Image:
        """Every so many pixels either way, (h, w, 3) uint8 BGR."""
        with self._lock:
            height, width = (-(-side // step) for side in self.size)
            return self._bgr((height, width), Interpolation.POINT)

    def _bgr(self, size: tuple[int, int], how: Interpolation) -> Image:
        height, width = self._turned_size(*size)
        return turned(self._converter(self._picture, width, height, how), self._turn)

    def _turned_size(self, height: int, width: int) -> tuple[int, int]:
        return (width, height) if self._turn[0] else (height, width)
