"""The pixels of picture files: one place decides, for sources, data sets and calibration alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.errors import SourceError
from drivenet.frame import Image
from drivenet.picture_files import unreadable
from drivenet.picture_size import MOST_PIXELS, is_too_large, stated_size

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN = 0xDA
#: Markers without a length (ITU-T T.81, table B.1): TEM, RST0 to RST7, SOI, EOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xDA)})
#: What a file that turns its picture holds somewhere: EXIF in JPEG and WebP, in PNG, a TIFF's own header.
_MAY_TURN = (b"Exif", b"EXIF", b"eXIf", b"II*\0", b"MM\0*")


def read_bytes(path: Path) -> bytes:
    """The content of a file; SourceError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def read_picture(path: Path) -> Image:
    """A picture, upright by its EXIF mark, as (H, W, 3) uint8 BGR; SourceError naming it if it is none or not whole."""
    return upright_picture(read_bytes(path), path)


def upright_picture(content: bytes, path: Path) -> Image:
    """As :func:`read_picture`, for a file whose content was read."""
    return _bgr(content, path, cv2.IMREAD_COLOR)


def read_labelled(path: Path, size: tuple[int, int]) -> Image:
    """A picture in the orientation of its label.

    Where an EXIF mark turns the picture, programs differ in whether they turned it before it was labelled; the label's
    size says so, if the two differ in it.

    Args:
        path: of the picture.
        size: (height, width) of the label.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        SourceError: if it is no whole picture, or the label fits it both ways.
    """
    content = read_bytes(path)
    upright = _bgr(content, path, cv2.IMREAD_COLOR)
    if not any(mark in content for mark in _MAY_TURN):
        return upright
    stored = _bgr(content, path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if np.array_equal(upright, stored):
        return upright
    fitting = [image for image in (upright, stored) if image.shape[:2] == size]
    if len(fitting) == 2:
        raise SourceError(
            f"{path} is rotated by its EXIF orientation, and it is unclear whether its label is rotated too",
            "pictures without such a mark",
            "store the picture as its label is, and remove the mark (exiftool -Orientation= FILE)",
        )
    return fitting[0] if fitting else upright


def decode(content: bytes, flags: int) -> npt.NDArray[np.generic] | None:
    """What OpenCV makes of a picture file; None for one that is none, is damaged, ends early or is huge."""
    if not content or is_cut_short(content) or is_too_large(content):
        return None
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:  # sizes that no picture has
        return None
    return None if image is None else np.asarray(image)


def _bgr(content: bytes, path: Path, flags: int) -> Image:
    if is_too_large(content):
        height, width = stated_size(content) or (0, 0)
        raise SourceError(f"{path} states {width}x{height} pixels", f"at most {MOST_PIXELS / 1e6:.0f} million")
    image = decode(content, flags)
    if image is None:
        raise SourceError(f"{path} is damaged or no picture", cure="remove or replace it")
    return np.ascontiguousarray(image, np.uint8)


def is_cut_short(content: bytes) -> bool:
    """Whether it is a JPEG without its end: OpenCV 4.8, that of JetPack, fills up what is missing without a word.

    Within the scans of a JPEG the two bytes of its end stand for nothing else, before them they may.
    """
    at = 2
    if not content.startswith(_JPEG_START):
        return False
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == _START_OF_SCAN:
            return _JPEG_END not in content[at:]
        bare = marker in _BARE_MARKERS
        at += 1 if marker == 0xFF else 2 if bare else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return True
