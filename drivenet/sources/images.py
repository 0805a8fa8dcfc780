"""Folders of pictures, single pictures and globs."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from drivenet.errors import NoVideoError, SourceError
from drivenet.frame import Frame, Image
from drivenet.latency import now_ns
from drivenet.sources.base import Source
from drivenet.sources.opencv import silence_opencv
from drivenet.sources.options import Options
from drivenet.sources.uri import IMAGE_SUFFIXES, no_such_file


class Images(Source):
    """Pictures in the given order, one frame each; their sizes may differ.

    Args:
        name: how messages call them together.
        paths: of the pictures.

    Raises:
        NoVideoError: if there are none.
    """

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        if not paths:
            raise NoVideoError(f"{name} holds no pictures", f"files named {', '.join(sorted(IMAGE_SUFFIXES))}")
        self.name, self.frames = name, len(paths)
        self._paths = paths
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            if self._closed:
                return
            image = read_image(path)
            yield Frame(image, index, now_ns())

    def close(self) -> None:
        """End the iteration at the next picture."""
        self._closed = True


def open_images(uri: str, options: Options) -> Images:
    """Open a picture, the pictures in a folder, or those that match a glob, in natural order.

    Raises:
        SourceNotFoundError: if nothing has that name.
        NoVideoError: if there are no pictures.
    """
    silence_opencv()
    return Images(uri, find_images(uri))


def find_images(uri: str) -> list[Path]:
    """The files that :func:`open_images` reads; SourceNotFoundError if nothing has that name."""
    path = Path(uri)
    try:
        if path.is_dir():
            # as in a glob; Macs put "._NAME.jpg", which is no picture, beside every picture on a memory stick
            found = [p for p in path.iterdir() if not p.name.startswith(".")]
        elif path.exists():
            return [path]
        else:
            found = [Path(name) for name in glob.glob(uri, recursive=True)]
            if not found:
                raise no_such_file(path)
        # a link that leads nowhere stays in, to be told of
        pictures = [p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and (p.is_file() or not p.exists())]
    except PermissionError:
        raise SourceError(
            f"{uri} cannot be read: permission denied", cure="check the permissions of its folder"
        ) from None
    return sorted(pictures, key=_natural)


def read_image(path: Path) -> Image:
    """Decode a picture, upright by its EXIF mark, as (H, W, 3) uint8 BGR; SourceError naming it if that fails."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {(error.strerror or 'unknown error').lower()}") from None
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise SourceError(f"{path} is damaged or no picture", cure="remove or replace it")
    return np.ascontiguousarray(image, np.uint8)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts ``2.png`` before ``10.png``."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", str(path))]
