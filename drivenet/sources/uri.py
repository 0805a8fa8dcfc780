"""How sources are written: sizes, rates and counts, and paths that lead nowhere."""

from __future__ import annotations

import difflib
import math
import os
import re
from pathlib import Path

from drivenet.address import mask_uri
from drivenet.errors import SourceNotFoundError, UsageError


def parse_size(text: str, where: str) -> tuple[int, int]:
    """(width, height) from ``1280x720``; UsageError naming ``where`` it stood."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not match:
        raise UsageError(f"size {text!r} in {where}", "WIDTHxHEIGHT in pixels, such as 1280x720")
    return int(match[1]), int(match[2])


def parse_rate(text: str, where: str) -> float:
    """Frames a second, above zero; UsageError naming ``where`` it stood."""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= 1000:
        raise UsageError(f"rate {text!r} in {where}", "frames a second, above 0 and at most 1000")
    return rate


def parse_count(text: str, where: str, least: int = 0) -> int:
    """A whole number; UsageError naming ``where`` it stood."""
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:
        raise UsageError(f"number {text!r} in {where}", f"a whole number from {least}")
    return int(text)


def no_such_file(path: Path) -> SourceNotFoundError:
    """The error for a path that leads nowhere, with the file that was probably meant."""
    if path.is_symlink():
        return SourceNotFoundError(f"{mask_uri(str(path))} is a link to {os.readlink(path)}, which is not there")
    try:
        names = os.listdir(path.parent)
    except OSError:
        names = []
    close = difflib.get_close_matches(path.name, names, n=1)
    if close:
        return SourceNotFoundError(f"no file {mask_uri(str(path))}", cure=f"did you mean {path.with_name(close[0])}?")
    what = "a file, a folder, a quoted glob, a camera number or an address such as rtsp://..."
    return SourceNotFoundError(f"no file {mask_uri(str(path))}", what, "check the path")
