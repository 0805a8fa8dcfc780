"""Whether a frame continues the one before it."""

from __future__ import annotations

from drivenet.frame import Frame

#: After a longer gap what stages remember is of another scene.
_GAP_NS = 2_000_000_000


def continues(before: Frame | None, frame: Frame) -> bool:
    """Whether two frames are of one size, in order, and at most 2 s apart in their own time.

    A recording's own time counts (``media_ns``), not how fast it is read; where there is none, when it was captured.
    """
    if before is None or before.size != frame.size:
        return False
    timed = before.media_ns is not None and frame.media_ns is not None
    gap = (frame.media_ns or 0) - (before.media_ns or 0) if timed else frame.captured_ns - before.captured_ns
    return 0 <= gap <= _GAP_NS
