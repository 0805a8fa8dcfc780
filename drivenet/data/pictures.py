"""Pictures without labels: what builds are compared on and int8 is calibrated with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivenet.decoding import read_picture
from drivenet.errors import UsageError
from drivenet.frame import Image
from drivenet.picture_files import IMAGE_SUFFIXES, list_files
from drivenet.synthetic import HELD_OUT_SEED, MIN_SIZE, SyntheticDrive

_SYNTHETIC_FRAMES, _FRAME_STEP, _MAX_PICTURES = 8, 90, 100


def synthetic_pictures(size: tuple[int, int]) -> list[Image]:
    """Frames of a synthetic drive that nothing was trained on, three seconds apart, uint8 BGR of about ``size``."""
    height, width = (max(MIN_SIZE, side) for side in size)
    drive = SyntheticDrive(width, height, seed=HELD_OUT_SEED + 4)
    return [drive.render(i * _FRAME_STEP)[0] for i in range(_SYNTHETIC_FRAMES)]


def folder_pictures(folder: Path) -> list[Image]:
    """The pictures in a folder, evenly taken if there are many.

    Raises:
        UsageError: if it holds none.
        SourceError: if there is no such folder, or it or a picture cannot be read.
    """
    return [read_picture(file) for file in chosen_files(folder)]


def chosen_files(folder: Path) -> list[Path]:
    """The files that :func:`folder_pictures` reads; UsageError and SourceError as there, but for the pictures."""
    files = sorted(list_files(folder))
    if not files:
        raise UsageError(f"{folder} holds no pictures", f"a folder with {', '.join(sorted(IMAGE_SUFFIXES))}")
    return [files[round(i)] for i in np.linspace(0, len(files) - 1, min(len(files), _MAX_PICTURES))]
