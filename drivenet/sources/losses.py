"""What a source lost of its pictures: counted, and said in the log."""

from __future__ import annotations

import logging

#: The cure where a damaged picture ends a run; the other commands that read videos do not have that option.
SKIP = "drivenet run --damaged skip leaves damaged pictures out and goes on"

log = logging.getLogger(__name__)


class Losses:
    """Counts of one source. Written by its reader, read by any thread.

    Args:
        name: of the source, without credentials.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        #: Pictures that were damaged, or refer to pictures that are lost, and were therefore left out.
        self.damaged = 0
        #: Seconds of the source's own time for which nothing came, above its usual step.
        self.missing_s = 0.0

    def __bool__(self) -> bool:
        return bool(self.damaged or self.missing_s)

    def picture(self, why: str, count: int = 1) -> None:
        """Pictures that are left out."""
        self.damaged += count
        what = "picture" if self.damaged == 1 else "pictures"
        log.warning("%s: %d %s lost since it was opened (%s)", self._name, self.damaged, what, why)

    def gap(self, at_s: float, seconds: float) -> None:
        """A piece that is not there."""
        self.missing_s += seconds
        log.warning("%s: %.1f s are missing after %.1f s; a piece was lost or not found", self._name, seconds, at_s)
