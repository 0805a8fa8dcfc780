"""Open-loop replay: frames fall due at a fixed rate, whether or not anybody is ready for them."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

from drivenet.errors import UsageError
from drivenet.frame import Frame
from drivenet.latency import now_ns
from drivenet.sources.base import Source, SourceStatus


class Replay(Source):
    """A recorded source replayed at fixed due times, for latency that hides no waiting.

    Frame i falls due i / rate seconds after the first. It is decoded before and held back until then; its
    capture time is the due time even if it was decoded later.

    Args:
        source: what to replay; belongs to the replay from here on.
        rate: frames a second.

    Raises:
        UsageError: if the rate is not above zero or the source is live.
    """

    def __init__(self, source: Source, rate: float) -> None:
        if not 0 < rate < math.inf:
            source.close()
            raise UsageError(f"rate {rate:g} Hz", "frames a second, above 0")
        if source.live:
            source.close()
            raise UsageError(f"a rate for {source.name}, which is live", "a recording", "leave --rate out")
        self.name, self.continuous, self.fps = source.name, source.continuous, rate
        self.frames, self.size = source.frames, source.size
        self._source = source
        self._stop = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        start_ns: int | None = None
        for frame in self._source:
            if start_ns is None:
                start_ns = now_ns()
            due_ns = start_ns + round(frame.index * 1e9 / self.fps)
            if self._stop.wait(max(0.0, (due_ns - now_ns()) / 1e9)):
                return
            yield frame.changed(captured_ns=due_ns, media_ns=None)

    def status(self) -> SourceStatus:
        """How what is replayed fares."""
        return self._source.status()

    def close(self) -> None:
        """End the replay, also in mid-wait."""
        self._stop.set()
        self._source.close()
