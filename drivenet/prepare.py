"""The one thing the host does to a picture before the engine: resize it. And ids back to picture size."""

from __future__ import annotations

import cv2
import numpy as np

from drivenet.classmap import Ids
from drivenet.frame import Image


def prepare(image: Image, size: tuple[int, int]) -> Image:
    """Resize a picture to the engine's input.

    Bilinear; pixel area when it shrinks to less than two thirds either way, where bilinear would alias
    thin poles. Colour order and range stay: normalisation lives in the graph.

    Args:
        image: (H, W, 3) uint8 BGR.
        size: (height, width) of the engine's input.

    Returns:
        (height, width, 3) uint8 BGR, C-contiguous; the same object if the size already fits.
    """
    (h, w), (to_h, to_w) = image.shape[:2], size
    if (h, w) == (to_h, to_w):
        return image
    shrinks = to_h * 3 < h * 2 or to_w * 3 < w * 2
    area = shrinks and to_h <= h and to_w <= w
    out = cv2.resize(image, (to_w, to_h), interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR)
    return np.asarray(out, np.uint8)


def resize_ids(ids: Ids, size: tuple[int, int]) -> Ids:
    """Resize class ids by nearest neighbour with aligned pixel centres.

    Args:
        ids: (H, W) uint8.
        size: (height, width) wanted.
    """
    if ids.shape == size:
        return ids
    return np.asarray(cv2.resize(ids, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
