"""Where a command's log goes: to standard error, above a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from drivenet.cli import output
from drivenet.log import configure, formatter


@contextmanager
def logged(level: str, form: str) -> Iterator[None]:
    """Write the log while a command runs.

    In the form ``json`` all of standard error is JSON lines, an error at the end among them: texts for people are left
    out.

    Args:
        level: one of :data:`drivenet.log.LEVELS`; with ``debug``, FFmpeg's warnings are written too.
        form: one of :data:`drivenet.log.FORMATS`.
    """
    output.log_formatter = formatter(form)
    was_quiet = output.console.quiet
    output.console.quiet = was_quiet or form == "json"
    write = output.line if form == "json" else output.console.print
    handler = configure(write, level, output.log_formatter)
    if level == "debug":
        _pass_on_ffmpeg()
    try:
        yield
    finally:
        handler.close()
        if form == "json":
            output.console.quiet = was_quiet


def _pass_on_ffmpeg() -> None:
    import av.logging

    av.logging.set_level(av.logging.WARNING)
