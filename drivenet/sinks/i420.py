"""Pictures as H.264 encoders take them."""

from __future__ import annotations

import cv2
import numpy as np

from drivenet.frame import Image

#: What the colours are then, as FFmpeg numbers matrices and ranges.
BT601, LIMITED_RANGE = 6, 1


def i420(view: Image) -> Image:
    """I420 planes of a BGR picture, (3 H / 2, W) uint8; an odd size is made even by repeating the last line."""
    height, width = view.shape[:2]
    if height % 2 or width % 2:
        view = np.asarray(cv2.copyMakeBorder(view, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)
    return np.asarray(cv2.cvtColor(view, cv2.COLOR_BGR2YUV_I420), np.uint8)
