"""What every kind of source may be opened with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Options:
    """Settings that do not belong to one address.

    Args:
        seed: of synthetic sources whose address names none.
        paced: whether synthetic frames fall due at their rate; otherwise they come as fast as they are drawn.
        timeout_s: how long a network may take to open, and may then stay silent.
        damaged: what becomes of damaged pictures in a recording: ``stop`` ends there, ``skip`` leaves them out.
        stream: number of the video stream to show; None for the largest.
    """

    seed: int = 0
    paced: bool = True
    timeout_s: float = 5.0
    damaged: Literal["stop", "skip"] = "stop"
    stream: int | None = None
