"""Sizes as people write them, and the order of before, which is told by the model that they are for."""

from __future__ import annotations

import re

from drivenet.errors import UsageError
from drivenet.prepare import Size


def parse_size(text: str | None, own: Size | None = None, where: str = "") -> Size | None:
    """(height, width) from ``WIDTHxHEIGHT``; None for None.

    Args:
        text: what stands behind ``--size``.
        own: (height, width) that the model has by itself; None where it must be met anyhow, or there is none.
        where: how messages name the model.

    Raises:
        UsageError: for another text, or a size that does not lie as ``own`` does: it is height x width, most likely.
    """
    if text is None:
        return None
    sides = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if sides is None:
        raise UsageError(f"size {text!r}", "WIDTHxHEIGHT such as 512x288")
    width, height = sides.groups()
    size = int(height), int(width)
    if own is not None and _shape(size) != _shape(own) and 0 not in (_shape(size), _shape(own)):
        raise UsageError(
            f"size {text}, width x height, for {where}, whose input is {own[1]}x{own[0]}",
            "both wide, or both high", f"did you mean {height}x{width}? Otherwise train it with such an input first",
        )  # fmt: skip
    return size


def _shape(size: Size) -> int:
    """1 for wide, -1 for high, 0 for square."""
    height, width = size
    return (width > height) - (width < height)
