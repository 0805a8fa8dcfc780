"""What a user asks of the recordings of a run: segments, a disk budget, whether files are written over."""

from __future__ import annotations

import re
from dataclasses import dataclass

from drivenet.errors import UsageError

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_BYTES = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
}  # fmt: skip
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


@dataclass(frozen=True)
class RecordingOptions:
    """How a run records.

    Args:
        segment_s: length of a segment in seconds; 0 for no limit.
        segment_bytes: size at which a segment ends; 0 for no limit.
        keep_bytes: what all segments of the run's outputs may take together; 0 for no limit.
        keep_free_bytes: what stays free on their file systems; 0 for no limit.
        overwrite: write over a file that exists, instead of taking the next free name.
    """

    segment_s: float = 0.0
    segment_bytes: int = 0
    keep_bytes: int = 0
    keep_free_bytes: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        budget = self.keep_bytes or self.keep_free_bytes
        if budget and not self.segmented:
            raise UsageError("a disk budget for one file", "--segment 60s or 500MB", "only closed segments are deleted")
        if self.overwrite and self.segmented:
            raise UsageError("--overwrite with --segment", "one of them", "segments have names of their own")
        if 0 < self.segment_s < 1:
            raise UsageError(f"segments of {self.segment_s:g} s", "at least 1s")

    @property
    def segmented(self) -> bool:
        """Whether recordings are cut into segments."""
        return bool(self.segment_s or self.segment_bytes)


def parse_segment(text: str) -> tuple[float, int]:
    """Seconds and bytes of ``60s``, ``5min``, ``1h`` or ``500MB``, one of them 0; UsageError for anything else.

    >>> parse_segment("5min"), parse_segment("500MB")
    ((300.0, 0), (0.0, 500000000))
    """
    number, unit = _quantity(text, "a segment", "60s, 5min, 1h or 500MB")
    if unit.lower() in _SECONDS:
        return number * _SECONDS[unit.lower()], 0
    return 0.0, parse_bytes(text, "a segment", "60s, 5min, 1h or 500MB")


def parse_bytes(text: str, what: str = "a size", expected: str = "20GB or 500MB") -> int:
    """Bytes of ``20GB`` (decimal) or ``20GiB`` (binary); UsageError for anything else.

    >>> parse_bytes("1.5GB")
    1500000000
    """
    number, unit = _quantity(text, what, expected)
    if unit.upper() not in _BYTES:
        raise UsageError(f"{what} of {text!r}", expected)
    return round(number * _BYTES[unit.upper()])


def _quantity(text: str, what: str, expected: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text)
    if not match or not float(match[1]):
        raise UsageError(f"{what} of {text!r}", expected)
    return float(match[1]), match[2]
