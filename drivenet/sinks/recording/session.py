"""What the recordings of one source share during a run."""

from __future__ import annotations

import threading
from collections.abc import Callable

from drivenet.frame import Frame
from drivenet.latency import now_ns
from drivenet.result import Result
from drivenet.sinks.recording.clock import Segment, SegmentClock
from drivenet.sinks.recording.disk import Disk
from drivenet.sinks.recording.options import RecordingOptions
from drivenet.sinks.recording.retention import Retention
from drivenet.sinks.recording.shared import NodeRecordings


class RecordingSession:
    """Options, segment clock, locks and disk budget of the recordings of a source. Any thread may use it.

    Args:
        options: what the user asks for.
        fps: frames a second of a recorded source; 0 for a live one.
        lock_when: whether a result is an event that locks the segments around it.
        disk: the system calls.
        shared: with the node's other sources: the disk budget, and what was written; None where there is no other.
    """

    def __init__(
        self, options: RecordingOptions | None = None, *, fps: float = 0.0,
        lock_when: Callable[[Result], bool] = lambda _: False, disk: Disk | None = None,
        shared: NodeRecordings | None = None,
    ) -> None:  # fmt: skip
        self.options, self.disk = options or RecordingOptions(), disk or Disk()
        self.clock = SegmentClock(round(self.options.segment_s * 1e9))
        shared = shared or NodeRecordings.of(self.options)
        self.budget, self.written = shared.budget, shared.written
        self.retention = Retention(self.budget, self.disk)
        self._fps, self._lock_when = fps, lock_when
        self._guard, self._watched = threading.Lock(), -1
        self._newest_ns = 0

    def lock(self) -> None:
        """An event happens now: keep the segments from 10 s before it to 10 s after it."""
        self.retention.lock(self._newest_ns if self._fps else now_ns())

    def segment(self, result: Result) -> Segment:
        """The segment that a result belongs to."""
        moment_ns = self._moment(result.frame)
        self._watch(result, moment_ns)
        return self.clock.at(moment_ns, result.frame.size, live=not self._fps)

    def segment_now(self) -> Segment:
        """The segment of what is recorded now and is no frame; of a recorded source that of its newest frame."""
        return self.clock.at(self._newest_ns if self._fps else now_ns(), live=not self._fps)

    def ends_now(self, number: int) -> bool:
        """Whether a segment ends now, though no frame comes; one of a recorded source never does."""
        return not self._fps and self.clock.ends(number, now_ns())

    def _watch(self, result: Result, moment_ns: int) -> None:
        with self._guard:
            if result.frame.index <= self._watched:
                return
            self._watched, self._newest_ns = result.frame.index, moment_ns
        if self._lock_when(result):
            self.retention.lock(moment_ns)

    def _moment(self, frame: Frame) -> int:
        """When a frame is, in nanoseconds: by the monotonic clock for a live source, else in its recording."""
        shown_ns = self.shown_ns(frame)
        return frame.captured_ns if shown_ns is None else shown_ns

    def shown_ns(self, frame: Frame) -> int | None:
        """When its recording shows a frame, from the first one on; None for a live source."""
        if not self._fps:
            return None
        return frame.media_ns if frame.media_ns is not None else round(frame.index * 1e9 / self._fps)
