"""How a video's mark says that its pictures are to be turned and mirrored."""

from __future__ import annotations

import math

import cv2
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

from drivenet.frame import Image

#: Rows swapped with columns, then mirrored left to right, then put upside down.
Turn = tuple[bool, bool, bool]
UPRIGHT: Turn = (False, False, False)


def display_matrix(picture: VideoFrame) -> tuple[float, float, float, float] | None:
    """(a, b, c, d) if the picture is marked: a pixel at (x, y) is shown at (a x + c y, b x + d y)."""
    try:
        mark = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # beside side data of a kind that PyAV has no name for (EXIF in FFmpeg 8) only the angle can be had
        angle = math.radians(picture.rotation)
        return (math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)) if angle else None
    if not isinstance(mark, SideData):
        return None
    a, b, _, c, d = np.frombuffer(bytes(mark), np.int32)[:5].tolist()
    return a, b, c, d


def turn_of(a: float, b: float, c: float, d: float) -> Turn:
    """The nearest turn by right angles of a display matrix."""
    if abs(a) + abs(d) < abs(b) + abs(c):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def turn_at(picture: VideoFrame, before: Turn) -> Turn:
    """The turn of a picture that follows one of another turn.

    A mark within H.264 stands with its first picture and holds until the next key frame.
    """
    mark = display_matrix(picture)
    if mark is not None:
        return turn_of(*mark)
    return UPRIGHT if picture.key_frame else before


def turned(image: Image, turn: Turn) -> Image:
    """The picture after a turn, C-contiguous."""
    transposed, mirrored, upside_down = turn
    out: cv2.typing.MatLike = cv2.transpose(image) if transposed else image
    if mirrored or upside_down:
        out = cv2.flip(out, -1 if mirrored and upside_down else int(mirrored))
    # rows of odd widths are padded
    return np.ascontiguousarray(out, np.uint8)
