"""Reading an opened OpenCV capture: what cameras of all kinds share."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2
import numpy as np

from drivenet.errors import SourceError, SourceLostError
from drivenet.frame import Frame, Image
from drivenet.latency import now_ns
from drivenet.sources.base import Source

# a USB camera may miss a transfer or two, one that was unplugged misses all
_FAILED_READS = 5


class Capture(Source):
    """A live camera behind OpenCV. One frame is read on opening, to see that pictures come, and thrown away.

    A blocked read ends when the driver gives up, which may take long or for ever: ``close`` does not wait for it, and
    has the reader release the camera. ``open_source`` wraps cameras in
    :class:`~drivenet.sources.detached.Detached`, whose iteration ends at once.

    Args:
        name: how messages call the camera.
        device: an opened capture; belongs to the source from here on.
        size: (width, height) that was asked for, None for any.

    Raises:
        SourceError: if no picture comes, or comes in another size than asked for.
    """

    live = True

    def __init__(self, name: str, device: cv2.VideoCapture, size: tuple[int, int] | None = None) -> None:
        self.name = name
        self._device = device
        self._lock = threading.Lock()
        self._closed = self._reading = False
        image = self._read()
        if image is None:
            device.release()
            raise SourceError(f"{name} opens but gives no picture", cure="end other programs that use the camera")
        self.size = image.shape[0], image.shape[1]
        if size is not None and self.size != size[::-1]:
            device.release()
            raise SourceError(
                f"{name} gives {self.size[1]}x{self.size[0]}",
                f"{size[0]}x{size[1]} as asked for",
                "ask for a size that the camera has (v4l2-ctl --list-formats-ext)",
            )
        self.fps = max(0.0, float(device.get(cv2.CAP_PROP_FPS)))

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while not self._closed:
            image = self._read()
            if self._closed:
                return
            if image is None:
                raise SourceLostError(f"{self.name} gave no picture after {index} frames", cure="check its cable")
            yield Frame(image, index, now_ns())
            index += 1

    def close(self) -> None:
        """Release the camera, or have the running read do it."""
        with self._lock:
            if not (self._closed or self._reading):
                self._device.release()
            self._closed = True

    def _read(self) -> Image | None:
        """The next picture; None if several reads in a row failed or the source was closed."""
        for _ in range(_FAILED_READS):
            with self._lock:
                if self._closed:
                    return None
                self._reading = True
            try:
                image = _picture(self._device)
            finally:
                with self._lock:
                    self._reading = False
                    if self._closed:
                        self._device.release()
            if image is not None:
                return image
        return None


def _picture(device: cv2.VideoCapture) -> Image | None:
    """A picture; None for a failed read and for one that cannot be decoded."""
    try:
        _, image = device.read()
    except cv2.error:
        return None
    # OpenCV calls a read good whose JPEG is damaged, and gives no picture
    return None if image is None else np.ascontiguousarray(image, np.uint8)
