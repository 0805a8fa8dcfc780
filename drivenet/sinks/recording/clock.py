"""One clock for the segments of all recordings of a source: they begin and end with the same frame."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from dataclasses import dataclass, replace

from drivenet.latency import now_ns

#: Recordings lag behind each other by some frames, never by so many segments.
_REMEMBERED = 64


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording.

    Args:
        number: in the order of time, over all runs; never used twice.
        start_ns: the moment of its first frame, on the clock of the frames.
        unix_ns: the same by the wall clock, as far as that is right.
    """

    number: int
    start_ns: int
    unix_ns: int


class SegmentClock:
    """Says which segment a frame belongs to. Every recording gets the same answer for a frame; any thread may ask.

    Args:
        length_ns: of a segment; 0 for no limit.
    """

    def __init__(self, length_ns: int = 0) -> None:
        self._length_ns = length_ns
        self._lock = threading.Lock()
        self._segments: list[Segment] = []
        self._next, self._newest_ns, self._cut = 1, -(1 << 62), False
        self._size: tuple[int, int] | None = None
        self._framed_ns = self._newest_ns  # of the newest that is a frame

    def follow(self, number: int) -> None:
        """Have the first segment come after one that is on the disk."""
        with self._lock:
            if not self._segments:
                self._next = max(self._next, number + 1)

    def cut(self, number: int) -> None:
        """Begin a new segment with the next frame that no recording has asked about, if this is still the last."""
        with self._lock:
            self._cut = self._cut or (bool(self._segments) and self._segments[-1].number == number)

    def at(self, moment_ns: int, size: tuple[int, int] | None = None, *, live: bool = True) -> Segment:
        """The segment of a moment.

        Args:
            moment_ns: of a frame; the capture time of a live one, else its time in the recording that it is from.
            size: of the frame, (h, w): another one than before begins a new segment. None for a picture that is none.
            live: whether ``moment_ns`` is by the monotonic clock.
        """
        with self._lock:
            if not self._segments or self._is_due(moment_ns, size):
                self._begin(moment_ns, live)
            if size is not None and moment_ns > self._framed_ns:
                self._size, self._framed_ns = size, moment_ns
            self._newest_ns = max(self._newest_ns, moment_ns)
            found = bisect_right(self._segments, moment_ns, key=lambda s: s.start_ns) - 1
            return self._segments[max(0, found)]

    def ends(self, number: int, moment_ns: int) -> bool:
        """Whether a segment ends at a moment that is no frame's. What is recorded next then begins another one.

        Args:
            number: of the segment.
            moment_ns: by the monotonic clock.
        """
        with self._lock:
            if self._segments and self._segments[-1].number > number:
                return True
            ends = self._is_due(moment_ns, None)
            self._cut = self._cut or ends
            return ends

    def _is_due(self, moment_ns: int, size: tuple[int, int] | None) -> bool:
        if size is not None and self._size not in (None, size) and moment_ns > self._framed_ns:
            return True
        if moment_ns <= self._newest_ns:
            return False
        if self._cut:
            return True
        return bool(self._length_ns) and moment_ns - self._segments[-1].start_ns >= self._length_ns

    def _begin(self, moment_ns: int, live: bool) -> None:
        age_ns = now_ns() - moment_ns if live else 0
        # a picture that is no frame may be newer than this first frame of another size, and have begun a segment
        self._segments = [replace(s, start_ns=min(s.start_ns, moment_ns)) for s in self._segments]
        self._segments.append(Segment(self._next, moment_ns, time.time_ns() - age_ns))
        del self._segments[:-_REMEMBERED]
        self._next, self._cut = self._next + 1, False
