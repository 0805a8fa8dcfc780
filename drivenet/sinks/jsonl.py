"""The stats file: a JSON object a line, one a frame and last the summary."""

from __future__ import annotations

import errno
import json
import math
import os
import select
import sys
from pathlib import Path
from typing import Any, BinaryIO

from drivenet.errors import SinkError
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sinks.target import cannot_write, check_kept, check_stdout, check_writable


class JsonlSink(Sink):
    """Writes each line in one piece, so that whenever a run ends, however it ends, all lines are whole.

    Numbers that JSON does not know (NaN, infinities) are written as null.

    Args:
        target: a file, replaced if it exists; ``-`` for standard output.

    Raises:
        SinkError: if nothing can be written there.
    """

    name = "stats"
    needs_view = False
    records = True

    def __init__(self, target: str | Path) -> None:
        self._path = None if str(target) == "-" else Path(target)
        self.target = str(self._path or "standard output")
        self._file: BinaryIO | None = None
        self._failed = self._closed = False
        if self._path:
            check_writable(self._path)
        else:
            check_stdout()

    def publish(self, result: Result) -> None:
        """Write a frame's line."""
        if self._closed:
            raise SinkError(f"{self.target} is closed")
        self._write(result.to_dict())

    def close(self, totals: Totals) -> None:
        """Write the summary, unless an earlier line could not be written."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failed:
                self._write(totals.to_dict())
                if self._path and self._file:
                    check_kept(self._path, os.fstat(self._file.fileno()))
        finally:
            if self._file:
                self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        text = to_json(line) + "\n"
        try:
            if self._path:
                self._to_file(self._path, text.encode())
            else:
                _to_stdout(text)
        except OSError as error:
            self._failed = True
            if self._path is None and isinstance(error, BrokenPipeError):
                _abandon_stdout()
                raise SinkError(
                    "standard output was closed by its reader", cure="write to a file instead of -"
                ) from error
            raise cannot_write(Path(self.target), error) from error

    def _to_file(self, path: Path, data: bytes) -> None:
        if self._file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)
        done = self._file.write(data)
        if done < len(data):  # the disk is full: take the torn line back
            if self._file.seekable():
                self._file.truncate(self._file.tell() - done)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def to_json(value: dict[str, Any]) -> str:
    """One line of strict JSON without spaces."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _to_stdout(text: str) -> None:
    """Past the buffer of ``sys.stdout``: its lock, held by a write that never returns, would hold up the exit too.

    A pipe that others made non-blocking is waited for like any other.
    """
    is_collected = sys.stdout is not sys.__stdout__
    if is_collected:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    data, out = text.encode(), sys.stdout.fileno()
    while data:
        try:
            data = data[os.write(out, data) :]
        except BlockingIOError:
            select.select([], [out], [])


def _abandon_stdout() -> None:
    """Keep the interpreter from complaining about the broken pipe again when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
