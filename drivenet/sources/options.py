"""What every kind of source may be opened with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Settings that do not belong to one address.

    Args:
        seed: of synthetic sources whose address names none.
        paced: whether synthetic frames fall due at their rate; otherwise they come as fast as they are drawn.
        timeout_s: how long a network may take to open, and may then stay silent.
    """

    seed: int = 0
    paced: bool = True
    timeout_s: float = 5.0
