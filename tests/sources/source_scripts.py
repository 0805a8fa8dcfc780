"""A source that does what a test tells it, for what no real device does on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from drivenet.errors import SourceLostError
from drivenet.frame import Frame
from drivenet.latency import now_ns
from drivenet.sources.base import Source


class Scripted(Source):
    """Gives ``count`` frames, whose pixels are their index, and then ends, fails or blocks.

    ``at_end`` is set when it has come so far.
    """

    name = "scripted"

    def __init__(self, count: int, then: str = "end", live: bool = True) -> None:
        self.count, self.then, self.live = count, then, live
        self.fps, self.size = 10.0, (2, 2)
        self.at_end, self.unblock = threading.Event(), threading.Event()
        self.was_closed = threading.Event()
        self.closed = 0

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            yield Frame(np.full((2, 2, 3), index, np.uint8), index, now_ns())
        self.at_end.set()
        if self.then == "block":
            self.unblock.wait()
        if self.then == "fail":
            raise SourceLostError("scripted failed")

    def close(self) -> None:
        self.closed += 1
        self.was_closed.set()
