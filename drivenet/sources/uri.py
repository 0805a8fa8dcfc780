"""How sources are written: sizes, rates and counts, and paths that lead nowhere."""

from __future__ import annotations

import difflib
import math
import os
import re
from dataclasses import replace
from pathlib import Path

from drivenet.address import mask_uri, split_settings
from drivenet.errors import SourceNotFoundError, UsageError
from drivenet.sources.options import Options


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


def named_stream(uri: str, options: Options) -> tuple[str, Options]:
    """The path of a file, and the options with the stream that ``?stream=N`` behind it names.

    Raises:
        UsageError: for another setting, or one that is no number.
    """
    if "?" not in uri or os.path.lexists(uri):
        return uri, options
    path, settings = split_settings(uri, ("stream",))
    return path, replace(options, stream=parse_count(settings["stream"], uri))


def stream_of_fragment(uri: str, options: Options) -> tuple[str, Options]:
    """The address of a network stream, and the options with what ``#stream=N`` behind it names: no server gets it."""
    match = re.search(r"#stream=(\d{1,4})$", uri)
    return (uri[: match.start()], replace(options, stream=int(match[1]))) if match else (uri, options)


def no_such_file(path: Path) -> SourceNotFoundError:
    """The error for a path that leads nowhere, with the file that was probably meant."""
    if path.is_symlink():
        return SourceNotFoundError(f"{mask_uri(str(path))} is a link to {os.readlink(path)}, which is not there")
    numbered = re.sub(r"%\d*d", "*", str(path))
    if numbered != str(path):
        return SourceNotFoundError(
            f"no file {mask_uri(str(path))}", f"for numbered pictures a quoted glob: '{numbered}'"
        )
    try:
        names = os.listdir(path.parent)
    except OSError:
        names = []
    close = difflib.get_close_matches(path.name, names, n=1)
    if close:
        return SourceNotFoundError(f"no file {mask_uri(str(path))}", cure=f"did you mean {path.with_name(close[0])}?")
    what = "a file, a folder, a quoted glob, a camera number or an address such as rtsp://..."
    return SourceNotFoundError(f"no file {mask_uri(str(path))}", what, "check the path")
