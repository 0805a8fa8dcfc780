"""The stats file: a JSON object a line, one a frame and last the summary."""

from __future__ import annotations

import json
import math
import os
import select
import sys
from pathlib import Path
from typing import Any

from drivenet.errors import SinkError
from drivenet.health import Event, Health
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sinks.recording import RecordingFiles, RecordingSession
from drivenet.sinks.recording.files import failure
from drivenet.sinks.recording.synced_file import SyncedFile
from drivenet.sinks.target import check_stdout
from drivenet.wall_clock import WALL


class JsonlSink(Sink):
    """Writes each line in one piece, so that whenever a run ends, however it ends, all lines are whole.

    Numbers that JSON does not know (NaN, infinities) are written as null.

    Args:
        target: a file, or the next free name if it exists; ``-`` for standard output.
        session: what it shares with the run's other recordings: segments, a disk budget.

    Raises:
        SinkError: if nothing can be written there.
    """

    name = "stats"
    needs_view = False
    records = True

    def __init__(self, target: str | Path, *, session: RecordingSession | None = None) -> None:
        self._files: RecordingFiles | None = None
        self._file: SyncedFile | None = None
        self._failed = self._closed = False
        if str(target) == "-":
            check_stdout()
        else:
            self._files = RecordingFiles(Path(target), session or RecordingSession())
        self.target = str(self._files.target) if self._files else "standard output"

    def publish(self, result: Result) -> None:
        """Write a frame's line."""
        if self._closed:
            raise SinkError(f"{self.target} is closed")
        self._write(result.to_dict(), result)

    def event(self, event: Event) -> None:
        """Write what happened, but for what is expected."""
        if event.severity != "debug" and not (self._closed or self._failed):
            self._write({**event.to_dict(), "unix_ns": WALL.at(event.at_ns)})

    def health(self, health: Health) -> None:
        """Have a segment end at its time while nothing new comes."""
        if self._failed or not (self._files and self._files.is_due_now(health)):
            return
        try:
            self._finish()
        except SinkError:
            self._failed = True
            raise

    def close(self, totals: Totals) -> None:
        """Write the summary, unless an earlier line could not be written."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failed:
                self._write(totals.to_dict())
        finally:
            self._finish()

    def _write(self, line: dict[str, Any], result: Result | None = None) -> None:
        text = to_json(line) + "\n"
        try:
            if self._files:
                self._to_file(self._files, text.encode(), result)
            else:
                _to_stdout(text)
        except (OSError, SinkError) as error:
            self._failed = True
            if self._files is None and isinstance(error, BrokenPipeError):
                _abandon_stdout()
                raise SinkError(
                    "standard output was closed by its reader", cure="write to a file instead of -"
                ) from error
            raise failure(Path(self.target), error) from error

    def _to_file(self, files: RecordingFiles, data: bytes, result: Result | None) -> None:
        if self._file is None or (result and files.is_due(result)):
            self._finish()
            self._file = files.open(result)
            self.target = str(self._file.path)
        before = self._file.size
        try:
            self._file.write(data)
        except OSError:  # the disk is full: take the torn line back
            self._file.truncate(before)
            raise

    def _finish(self) -> None:
        """Complete the file that is open, if one is; raises no second error after a failed write."""
        file, self._file = self._file, None
        if not file or not self._files:
            return
        try:
            file.close()
        except (OSError, SinkError) as error:
            if not self._failed:
                raise failure(Path(self.target), error) from error
        finally:
            self._files.closed()


def to_json(value: dict[str, Any]) -> str:
    """One line of strict JSON without spaces. What Python makes of file names that are no UTF-8 stays in escapes, of
    which ``os.fsencode`` makes the name again.
    """
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()


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
