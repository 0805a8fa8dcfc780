"""A live picture that shows nothing (frozen, black, white, covered) is never silently healthy."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from drivenet.frame import Frame, Image
from drivenet.health import State

#: For so long a picture may not change at all, or show nothing, before it is suspect.
FROZEN_S, BLANK_S = 3.0, 2.0
#: Every so many pixels either way are looked at.
_STEP = 16
#: Brightness (0..255) of black and white, and its standard deviation below which a picture shows nothing.
_BLACK, _WHITE, _FLAT = 20.0, 235.0, 3.0


class Reports(Protocol):
    """Where findings go: a :class:`~drivenet.pipeline.health.HealthMonitor`."""

    def report(self, code: str, part: str, state: State, reason: str) -> None:
        """Something is found."""
        ...

    def withdraw(self, code: str) -> None:
        """It is over."""
        ...


class PictureWatch:
    """Looks at a few hundred pixels of every frame of a live source, some microseconds. Belongs to one thread.

    A camera adds noise, so that no two of its pictures are the same; a drawn or still source may stand still, and says
    so with ``live = False``.

    Args:
        reports: told what is suspect, and when it is over.
    """

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._before = b""
        self._same_ns = self._blank_ns = 0
        self._found = ""

    def see(self, frame: Frame) -> None:
        """Look at a frame."""
        pixels = frame.sampled(_STEP)
        now_ns = frame.captured_ns
        seen = pixels.tobytes()
        if seen != self._before:
            self._before, self._same_ns = seen, now_ns
        what = blank(pixels)
        self._blank_ns = (self._blank_ns or now_ns) if what else 0
        if what and (now_ns - self._blank_ns) / 1e9 >= BLANK_S:
            self._say(what)
        else:
            self._say("frozen" if (now_ns - self._same_ns) / 1e9 >= FROZEN_S else "")

    def _say(self, what: str) -> None:
        if what == self._found:
            return
        self._found = what
        if what:
            self._reports.report("picture", "source", "suspect", f"the picture is {what}")
        else:
            self._reports.withdraw("picture")


def blank(pixels: Image) -> str:
    """``black``, ``white``, ``covered`` (all of one brightness) or empty for a picture that shows something."""
    grey = pixels.mean(axis=2, dtype=np.float32)
    mean, spread = float(grey.mean()), float(grey.std())
    if spread >= _FLAT:
        return ""
    return "black" if mean < _BLACK else "white" if mean > _WHITE else "covered"
