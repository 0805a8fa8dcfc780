"""The files of one recording, one after the other."""

from __future__ import annotations

import os
from pathlib import Path

from drivenet.errors import SinkError
from drivenet.health import SILENT, Health
from drivenet.result import Result
from drivenet.sinks.recording.clock import Segment
from drivenet.sinks.recording.disk import being_written, is_being_written
from drivenet.sinks.recording.names import next_free, segment_path, segments_of, written_before
from drivenet.sinks.recording.session import RecordingSession
from drivenet.sinks.recording.synced_file import SyncedFile
from drivenet.sinks.target import cannot_write, check_folder, check_writable


class RecordingFiles:
    """Opens the file that a recording goes to: the one that was named, the next free name, or segment after segment.

    Args:
        path: as the user named it.
        session: what it shares with the other recordings of the source.

    Raises:
        SinkError: if nothing can be written there, or another program writes it.
    """

    def __init__(self, path: Path, session: RecordingSession) -> None:
        self._path, self._session = Path(path), session
        self._options = session.options
        self._file: SyncedFile | None = None
        self._segment: Segment | None = None
        self._check()
        #: Where it goes: the file, or for segments the name that theirs are made of.
        self.target = self._path if self._options.segmented else self._first()

    def is_due(self, result: Result) -> bool:
        """Whether a result belongs to another file than the one that is open, or none is open."""
        if not self._options.segmented:
            return self._file is None
        self._cut_by_size()
        return self._differs(self._session.segment(result))

    def is_due_now(self, health: Health) -> bool:
        """Whether the segment that is open ends now, though no frame comes: only where nothing new is said to come."""
        if health.state not in SILENT or not (self._options.segmented and self._file and self._segment):
            return False
        self._cut_by_size()
        return self._session.ends_now(self._segment.number)

    def open(self, result: Result | None) -> SyncedFile:
        """The file for a result, or a summary without one, and what follows; the one before is closed.

        Raises OSError and SinkError.
        """
        session, path = self._session, self._path
        if self._options.segmented:
            self._segment = session.segment(result) if result else session.segment_now()
            path = segment_path(path, self._segment.number, self._segment.unix_ns)
        session.budget.check(now=True)
        self._file = SyncedFile(
            path, overwrite=self._options.overwrite and path not in session.written, disk=session.disk,
            housekeeping=session.budget.check,
        )  # fmt: skip
        session.written.append(self._file.path)
        if self._segment:
            session.retention.opened(self._segment, self._file.path)
        return self._file

    def closed(self) -> None:
        """Say that the file is complete."""
        if self._file and self._segment:
            self._session.retention.closed(self._segment, self._file.path)
        self._file = None

    def _differs(self, segment: Segment) -> bool:
        return self._file is None or self._segment is None or segment.number > self._segment.number

    def _cut_by_size(self) -> None:
        limit = self._options.segment_bytes
        if limit and self._file and self._segment and self._file.size >= limit:
            self._session.clock.cut(self._segment.number)

    def _check(self) -> None:
        """Refuse what another program writes, and follow the segments that are there."""
        if self._options.segmented:
            before = segments_of(self._path)
            others = [path for _, path in before[-1:]]
            check_folder(self._path.parent)
            self._session.clock.follow(before[-1][0] if before else 0)
            self._session.retention.found(self._path.parent, before)
        else:
            others = [path for path in written_before(self._path) if os.path.isfile(path)]
            check_writable(self._path)
        for path in others:
            if path not in self._session.written and is_being_written(path):
                raise being_written(path)

    def _first(self) -> Path:
        """The name that the first file will have, if nobody is quicker."""
        kept = self._options.overwrite or (os.path.exists(self._path) and not os.path.isfile(self._path))
        return self._path if kept else next_free(self._path)


def failure(path: Path, error: Exception) -> SinkError:
    """What a recording raises for an error of its file."""
    if isinstance(error, SinkError):  # another one, since it is raised from this one
        return SinkError(error.received, error.expected, error.cure)
    return cannot_write(path, error)
