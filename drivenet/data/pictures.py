"""Pictures without labels: what builds are compared on and int8 is calibrated with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from drivenet.errors import UsageError
from drivenet.frame import Image
from drivenet.synthetic import HELD_OUT_SEED, MIN_SIZE, SyntheticDrive

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_SYNTHETIC_FRAMES, _FRAME_STEP, _MAX_PICTURES = 8, 90, 64


def synthetic_pictures(size: tuple[int, int]) -> list[Image]:
    """Frames of a synthetic drive that nothing was trained on, three seconds apart, uint8 BGR of about ``size``."""
    height, width = (max(MIN_SIZE, side) for side in size)
    drive = SyntheticDrive(width, height, seed=HELD_OUT_SEED + 4)
    return [drive.render(i * _FRAME_STEP)[0] for i in range(_SYNTHETIC_FRAMES)]


def folder_pictures(folder: Path) -> list[Image]:
    """The pictures in a folder, evenly taken if there are many.

    Raises:
        UsageError: if it holds none, or one that cannot be read.
    """
    files = sorted(f for f in folder.glob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise UsageError(f"{folder} holds no pictures", f"a folder with {', '.join(SUFFIXES)}")
    chosen = [files[round(i)] for i in np.linspace(0, len(files) - 1, min(len(files), _MAX_PICTURES))]
    return [_read(file) for file in chosen]


def _read(file: Path) -> Image:
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if picture is None:
        raise UsageError(f"{file} cannot be read as a picture")
    return np.asarray(picture, np.uint8)
