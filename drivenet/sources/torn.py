"""Whether a video file is cut short: how many bytes and seconds it says itself that there should be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer
from av.video.stream import VideoStream

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
#: The tag of a Matroska track, as FFmpeg and mkvmerge write it, maybe with a language behind it.
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


def stated_bytes(path: Path, container: InputContainer, stream: VideoStream) -> int:
    """The least size in bytes that the file should have; 0 for formats that do not state it."""
    kind = container.format.name
    if "mp4" in kind:
        return max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    return _matroska_bytes(path) if "matroska" in kind else 0


def stated_seconds(container: InputContainer, stream: VideoStream) -> float:
    """When the last picture of a Matroska video ends, by its tag; 0 where it does not say.

    A tag beyond the end of the file's own duration is left over from the file that it was cut from.
    """
    if "matroska" not in container.format.name or not container.duration:
        return 0.0
    tags = [text for name, text in stream.metadata.items() if name == "DURATION" or name.startswith("DURATION-")]
    found = _DURATION.match(tags[0]) if tags else None
    if found is None:
        return 0.0
    hours, minutes, seconds = found.groups()
    stated = 3600.0 * int(hours) + 60.0 * int(minutes) + float(seconds)
    return stated if stated <= container.duration / 1e6 + 0.1 else 0.0


def _matroska_bytes(path: Path) -> int:
    """End of the segment; 0 if it was never finished (a live recording leaves its size open)."""
    with path.open("rb") as file:
        if _vint(file, keep_marker=True) != _EBML:
            return 0
        header = _vint(file)
        file.seek(header or 0, 1)
        if _vint(file, keep_marker=True) != _SEGMENT:
            return 0
        size = _vint(file)
        return file.tell() + size if size is not None else 0


def _vint(file: BinaryIO, keep_marker: bool = False) -> int | None:
    """An EBML number (RFC 8794, section 4); None for "unknown size", where all bits are set."""
    first = (file.read(1) or b"\0")[0]
    length = 9 - first.bit_length()
    raw = bytes([first]) + file.read(length - 1)
    value = int.from_bytes(raw, "big")
    if keep_marker:
        return value
    ones = (1 << 7 * length) - 1
    return None if value & ones == ones else value & ones
