"""How sources are written: hiding credentials, splitting settings off, reading sizes and numbers."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import parse_qsl

from drivenet.errors import SourceNotFoundError, UsageError, nearest

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//?)")
_SECRET_VALUE = re.compile(
    r"(?i)(user(?:name)?|usr|login|pass\w*|pwd|psw|token|key|secret|auth\w*|sig(?:nature)?|credentials?)=[^&/?#\s]+"
)


def scheme_of(uri: str) -> str:
    """The lower-case scheme of ``scheme://...``, empty if there is none.

    >>> scheme_of("RTSP://camera/1"), scheme_of("clip.mp4")
    ('rtsp', '')
    """
    match = _SCHEME.match(uri)
    return match[1].lower() if match and match[2] == "//" else ""


def mask_uri(uri: str) -> str:
    """The same address without user, password and the values of parameters that look like secrets.

    A password may hold any character that should have been escaped, so all before the last ``@`` goes.

    >>> mask_uri("rtsp://admin:s3cret@10.0.0.7:554/main?token=abc&ch=1")
    'rtsp://***@10.0.0.7:554/main?token=***&ch=1'
    """
    scheme = _SCHEME.match(uri)
    start = scheme.end() if scheme else 0
    before, at, after = uri[start:].rpartition("@")
    holds_credentials = at and (scheme or ":" in before) and scheme_of(uri) != "synthetic"
    rest = f"***@{after}" if holds_credentials else uri[start:]
    return uri[:start] + _SECRET_VALUE.sub(r"\1=***", rest)


def split_settings(uri: str, known: Collection[str]) -> tuple[str, dict[str, str]]:
    """Split ``address?name=value&...`` into the address and its settings.

    Raises:
        UsageError: for a setting that is not known, is given twice or has no value.
    """
    address, _, query = uri.partition("?")
    settings: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise UsageError(f"{mask_uri(uri)} has no setting {name!r}", cure=nearest(name, known))
        if name in settings or not value:
            raise UsageError(f"{mask_uri(uri)} sets {name!r} twice or to nothing", f"one {name}=VALUE")
        settings[name] = value
    return address, settings


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
    names = os.listdir(path.parent) if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    if close:
        return SourceNotFoundError(f"no file {mask_uri(str(path))}", cure=f"did you mean {path.with_name(close[0])}?")
    what = "a file, a folder, a quoted glob, a camera number or an address such as rtsp://..."
    return SourceNotFoundError(f"no file {mask_uri(str(path))}", what, "check the path")
