"""What a pipeline is given: parts that are none, mostly what would open one, and frames that are none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from numbers import Integral, Real

from drivenet.address import mask_uri
from drivenet.errors import SourceError, UsageError
from drivenet.frame import Frame
from drivenet.latency import now_ns
from drivenet.sources.base import Source

#: A capture time that is so far ahead of the monotonic clock is of another clock.
_AHEAD_NS = 1_000_000_000


def check_parts(source: object, engine: object, sinks: object, stages: Iterable[object] = ()) -> None:
    """Raise UsageError for parts that are not opened, or that are something else.

    A part is known by what the pipeline asks of it first: it need not come from a class of drivenet.
    """
    _check("source", source, "live", "a Source", "open_source")
    _check_rate(source)
    _check("engine", engine, "spec", "an Engine", "open_engine")
    if isinstance(sinks, (str, os.PathLike)) or not isinstance(sinks, Iterable):
        raise UsageError(f"sinks {_shown(sinks)}", "a list of Sinks", "put it in [ ]")
    for sink in sinks:
        _check("sink", sink, "publish", "a Sink", "open_sink")
    for stage in stages:
        _check("stage", stage, "reset", "a Stage", stage.__name__ if isinstance(stage, type) else "Stage")


def checked_frames(source: Source) -> Iterator[Frame]:
    """The frames of a source; SourceError for anything else, and for one that has the time of another clock."""
    for frame in source:
        if not isinstance(frame, Frame):
            raise SourceError(
                f"{source.name} gave {type(frame).__name__}", "a drivenet.Frame", "Frame(image, index, time)"
            )
        time = frame.captured_ns
        if not isinstance(time, Integral) or time > now_ns() + _AHEAD_NS:
            told = f"{source.name}: frame {frame.index} was captured at {time}"
            raise SourceError(told, f"nanoseconds up to now, {now_ns()}", "take time.monotonic_ns()")
        yield frame


def _check_rate(source: object) -> None:
    fps = getattr(source, "fps", None)
    if not isinstance(fps, Real) or not float(fps) >= 0:
        raise UsageError(f"source {_shown(source)} with fps {fps}", "frames a second", "0 where it states none")


def _check(part: str, given: object, asked: str, expected: str, opener: str) -> None:
    if isinstance(given, type) or not hasattr(given, asked):
        raise UsageError(f"{part} {_shown(given)}", expected, f"{opener}(...) gives one")


def _shown(given: object) -> str:
    """A text or a path as it was written, of anything else the type."""
    if isinstance(given, (str, os.PathLike)):
        return repr(mask_uri(os.fspath(given)))
    name = given.__name__ if isinstance(given, type) else type(given).__name__
    return f"{'the class' if isinstance(given, type) else 'of the type'} {name}"
