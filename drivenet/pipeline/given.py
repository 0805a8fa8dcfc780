"""What a pipeline is given instead of a source, an engine or a sink: mostly what would open one."""

from __future__ import annotations

import os
from collections.abc import Iterable

from drivenet.address import mask_uri
from drivenet.errors import UsageError


def check_parts(source: object, engine: object, sinks: object) -> None:
    """Raise UsageError for parts that are not opened, or that are something else.

    A part is known by what the pipeline asks of it first: it need not come from a class of drivenet.
    """
    _check("source", source, "live", "a Source", "open_source")
    _check("engine", engine, "spec", "an Engine", "open_engine")
    if isinstance(sinks, (str, os.PathLike)) or not isinstance(sinks, Iterable):
        raise UsageError(f"sinks {_shown(sinks)}", "a list of Sinks", "put it in [ ]")
    for sink in sinks:
        _check("sink", sink, "publish", "a Sink", "open_sink")


def _check(part: str, given: object, asked: str, expected: str, opener: str) -> None:
    if isinstance(given, type) or not hasattr(given, asked):
        raise UsageError(f"{part} {_shown(given)}", expected, f"{opener}(...) gives one")


def _shown(given: object) -> str:
    """A text or a path as it was written, of anything else the type."""
    if isinstance(given, (str, os.PathLike)):
        return repr(mask_uri(os.fspath(given)))
    name = given.__name__ if isinstance(given, type) else type(given).__name__
    return f"{'the class' if isinstance(given, type) else 'of the type'} {name}"
