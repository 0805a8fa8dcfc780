"""Pictures as JPEG, for every sink that sends or stores them."""

from __future__ import annotations

import cv2

from drivenet.errors import SinkError
from drivenet.frame import Image


def encode_jpeg(image: Image, quality: int) -> bytes:
    """A JPEG.

    Args:
        image: (H, W, 3) uint8 BGR.
        quality: 0 to 100.

    Raises:
        SinkError: for a picture that cannot be one (more than 65535 pixels either way).
    """
    good, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not good:
        raise SinkError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be written as JPEG")
    return data.tobytes()
