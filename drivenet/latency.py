"""One definition of latency: a monotonic timeline that rides with a frame, and bounded percentiles over many."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from ddsketch import DDSketch

#: The stages of a run that has no others, in the order a frame passes them. ``end_to_end`` spans them all.
STAGES = ("queue", "prepare", "infer", "postprocess", "draw", "publish")
END_TO_END = "end_to_end"
#: A 99th percentile of fewer samples than this is noise and is not printed.
P99_MIN_SAMPLES = 2000

now_ns = time.monotonic_ns


class Waits:
    """How long a thread has been ready to run without a processor: the second number of its ``schedstat`` (Linux,
    Documentation/scheduler/sched-stats.rst).

    The file of the thread that was asked for last stays open, which takes a fifth of the time twice a frame. For one
    caller at a time.
    """

    def __init__(self) -> None:
        self._thread, self._file = 0, -1
        self._let_go: Callable[[], object] = lambda: None

    def ns(self, thread: int | None = None) -> int:
        """Nanoseconds so far; 0 where the system does not tell.

        Args:
            thread: the system's number of one of this process; None for the calling one.
        """
        number = threading.get_native_id() if thread is None else thread
        kept = number == self._thread
        if not kept:
            self._open(number, "/proc/thread-self" if thread is None else f"/proc/self/task/{number}")
        if self._file < 0:
            return 0
        try:
            return int(os.pread(self._file, 64, 0).split()[1])
        except (OSError, IndexError, ValueError):
            self.close()
        return self.ns(thread) if kept else 0  # it has ended, and another one may have its number by now

    def close(self) -> None:
        """Close the file; it is opened again when it is asked for. Without it, it is closed with this object."""
        self._thread, self._file = 0, -1
        self._let_go()

    def _open(self, number: int, folder: str) -> None:
        self.close()
        with suppress(OSError):
            file = os.open(f"{folder}/schedstat", os.O_RDONLY)
            self._thread, self._file = number, file
            self._let_go = weakref.finalize(self, os.close, file)


class Span(NamedTuple):
    """A stage of one frame: its name, and its first and last moment by the monotonic clock, in nanoseconds."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Timeline:
    """What one frame spent its time on, in order; never changed, only continued by :meth:`then`.

    A wait that belongs to no stage (for the thread that draws) is a gap between two spans, so that the stages of one
    frame never add up to more than its end-to-end time.

    Args:
        captured: when the frame was captured, or fell due.
        spans: its stages so far.
        waited: nanoseconds during ``infer`` in which the thread that computes was ready and had no processor
            (:class:`Waits`).
    """

    captured: int
    spans: tuple[Span, ...] = ()
    waited: int = 0

    def then(self, name: str, start: int, end: int | None = None) -> Timeline:
        """This timeline and one more stage, which ends now unless something else is said."""
        span = Span(name, start, now_ns() if end is None else end)
        return Timeline(self.captured, (*self.spans, span), self.waited)

    @property
    def end(self) -> int:
        """When the last stage ended; the capture without one."""
        return self.spans[-1].end if self.spans else self.captured

    def stages_ms(self) -> dict[str, float]:
        """Milliseconds by stage, in order."""
        return {span.name: (span.end - span.start) / 1e6 for span in self.spans}

    def end_to_end_ms(self) -> float:
        """Milliseconds from capture (or due time) to the end of the last stage."""
        return (self.end - self.captured) / 1e6


class Histogram:
    """Percentiles of a stream of non-negative numbers in bounded memory, to 0.5 % of the value.

    DDSketch (Masson, Rim and Lee, VLDB 2019). Keeps counts by bucket, never samples.
    """

    def __init__(self) -> None:
        self._sketch = DDSketch(relative_accuracy=0.005)
        self.max = 0.0

    def add(self, value: float) -> None:
        """Record one value; below zero counts as zero (a clock read twice in one tick)."""
        value = max(0.0, value)
        self._sketch.add(value)
        self.max = max(self.max, value)

    def copy(self) -> Histogram:
        """One that stays as it is while this one goes on."""
        twin = Histogram()
        twin._sketch.merge(self._sketch)
        twin.max = self.max
        return twin

    @property
    def n(self) -> int:
        """How many values were recorded."""
        return int(self._sketch.count)

    @property
    def mean(self) -> float:
        """Arithmetic mean; 0 before the first value."""
        return float(self._sketch.sum / self._sketch.count) if self._sketch.count else 0.0

    def percentile(self, percent: float) -> float:
        """The least value that so many per cent (0..100) of all do not exceed; 0 before the first value."""
        if self.n < 2:
            return self.max
        before = max(0, math.ceil(percent * self.n / 100) - 1)
        # the sketch gives the first value with more than q * (n - 1) up to it: half a value keeps clear of rounding
        value = self._sketch.get_quantile_value(min(1.0, (before + 0.5) / (self.n - 1)))
        return min(float(value or 0.0), self.max)

    def summary(self) -> dict[str, float | int]:
        """``n, p50, p90, [p99,] max``; p99 only from :data:`P99_MIN_SAMPLES` values on."""
        out: dict[str, float | int] = {"n": self.n, "p50": self.percentile(50), "p90": self.percentile(90)}
        if self.n >= P99_MIN_SAMPLES:
            out["p99"] = self.percentile(99)
        out["max"] = self.max
        return {k: v if isinstance(v, int) else round(v, 3) for k, v in out.items()}


class StageHistograms:
    """One :class:`Histogram` a stage, and one for end to end.

    Args:
        stages: those that are there from the start on, in order; others follow as frames bring them.
    """

    def __init__(self, stages: Iterable[str] = STAGES) -> None:
        self.by_stage = {name: Histogram() for name in (END_TO_END, *stages)}

    def add(self, timeline: Timeline) -> None:
        """Record a published frame."""
        for stage, ms in timeline.stages_ms().items():
            if stage not in self.by_stage:
                self.by_stage[stage] = Histogram()
            self.by_stage[stage].add(ms)
        self.by_stage[END_TO_END].add(timeline.end_to_end_ms())

    def copy(self) -> StageHistograms:
        """One that stays as it is while this one goes on."""
        twin = StageHistograms()
        twin.by_stage = {name: histogram.copy() for name, histogram in self.by_stage.items()}
        return twin

    def summary(self) -> dict[str, dict[str, float | int]]:
        """:meth:`Histogram.summary` by stage, end to end first."""
        return {name: histogram.summary() for name, histogram in self.by_stage.items()}


class RateMeter:
    """Events a second: n - 1 intervals between n events."""

    def __init__(self) -> None:
        self.count = 0
        self._first = self._last = 0

    def tick(self, at_ns: int | None = None) -> None:
        """Count one event, now or at the given monotonic time."""
        at = now_ns() if at_ns is None else at_ns
        if self.count == 0:
            self._first = at
        self._last = at
        self.count += 1

    def fps(self, *others: RateMeter) -> float | None:
        """The mean rate from the first to the last event, those of ``others`` included; None with fewer than two."""
        meters = [self, *(other for other in others if other.count)]
        span = max(meter._last for meter in meters) - min(meter._first for meter in meters)
        return (self.count - 1) / (span / 1e9) if self.count > 1 and span > 0 else None
