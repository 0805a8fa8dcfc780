"""Whether a video file is cut short: the number of bytes that its own index says there should be."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer
from av.video.stream import VideoStream

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def stated_bytes(path: Path, container: InputContainer, stream: VideoStream) -> int:
    """The least size in bytes that the file should have; 0 for formats that do not state it."""
    kind = container.format.name
    if "mp4" in kind:
        return max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    return _matroska_bytes(path) if "matroska" in kind else 0


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
