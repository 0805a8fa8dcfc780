"""Names of recordings: the next one that is free, and those of segments."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path


def next_free(path: Path) -> Path:
    """The path, or if it exists the first of ``NAME-2.mp4``, ``NAME-3.mp4``, ... that does not."""
    found, number = path, 1
    while os.path.lexists(found):  # unlike Path.exists it raises nothing
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def written_before(path: Path) -> Iterator[Path]:
    """The file itself and all that :func:`next_free` made of its name, as far as they exist."""
    if os.path.exists(path):
        yield path
    pattern = re.compile(rf"{re.escape(path.stem)}-\d+{re.escape(path.suffix)}")
    yield from _matching(path.parent, pattern).values()


def segment_path(path: Path, number: int, unix_ns: int) -> Path:
    """The name of a segment: ``drive-20261129T120000Z-000017.mkv`` for ``drive.mkv``.

    The wall clock is for people. The number orders segments, also where the clock is wrong.
    """
    stamp = datetime.fromtimestamp(unix_ns // 1_000_000_000, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    return path.with_name(f"{path.stem}-{stamp}-{number:06d}{path.suffix}")


def segments_of(path: Path) -> list[tuple[int, Path]]:
    """Number and path of every segment of a recording that is on the disk, oldest first."""
    pattern = re.compile(rf"{re.escape(path.stem)}-\d{{8}}T\d{{6}}Z-(\d{{6,}})(?:-\d+)?{re.escape(path.suffix)}")
    return sorted((int(match[1]), file) for match, file in _matching(path.parent, pattern).items())


def _matching(folder: Path, pattern: re.Pattern[str]) -> dict[re.Match[str], Path]:
    try:
        files = list(folder.iterdir())
    except OSError:  # it is not there, or may not be looked into: what is there is then never opened for writing
        files = []
    return {match: file for file in files if (match := pattern.fullmatch(file.name))}
