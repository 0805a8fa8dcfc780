"""A folder of pictures as a recording: never mixed with an earlier one, locked, and synced about every second."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from drivenet.files import write_atomic
from drivenet.sinks.recording.disk import being_written, is_being_written, lock
from drivenet.sinks.recording.names import next_free
from drivenet.sinks.recording.session import RecordingSession
from drivenet.sinks.recording.synced_file import SYNC_EVERY_S
from drivenet.sinks.target import check_folder, check_kept

_PICTURES = (".jpg", ".png")


class PictureFolder:
    """Writes whole files; a thread of its own syncs them, and what goes wrong there the next write raises.

    Args:
        folder: made with the first picture; the next free name if pictures are in it already.
        session: says whether they may be written over, and knows the disk.

    Raises:
        SinkError: if nothing can be written there, or another program writes into it.
    """

    def __init__(self, folder: Path, session: RecordingSession) -> None:
        self._session, self._disk = session, session.disk
        if os.path.isdir(folder) and is_being_written(folder):
            raise being_written(folder)
        while not session.options.overwrite and has_pictures(folder):
            folder = next_free(folder)
        check_folder(folder)
        self.folder = folder
        #: The folder above it that was there at the beginning.
        self._above = next((above, above.stat()) for above in (folder, *folder.parents) if os.path.exists(above))
        self._lock: int | None = None
        self._error: Exception | None = None
        self._new: list[Path] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_synced, name="sync", daemon=True)

    def write(self, name: str, data: bytes) -> None:
        """Write a picture; raises OSError and SinkError, also for a sync before it that went wrong."""
        if self._error:
            raise self._error
        # whoever removes the folder, or the stick that it is on, shall not find a new one in its place
        check_kept(self.folder, os.fstat(self._lock if self._lock is not None else self._begin()))
        path = self.folder / name
        write_atomic(path, data, durable=False)  # synced below, many at a time
        self._new.append(path)

    def close(self) -> None:
        """Sync the rest."""
        if self._lock is None:
            return
        self._closing.set()
        self._thread.join()
        os.close(self._lock)
        self._lock = None
        if self._error:
            raise self._error

    def _begin(self) -> int:
        check_kept(*self._above)
        self._disk.make_folders(self.folder)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            lock(descriptor, self.folder)
        except BaseException:  # another program was quicker
            os.close(descriptor)
            raise
        self._lock = descriptor
        self._session.written.append(self.folder)
        self._thread.start()
        return self._lock

    def _keep_synced(self) -> None:
        ended = False
        while not (ended or self._error):
            ended = self._closing.wait(SYNC_EVERY_S)
            try:
                self._sync()
            except Exception as error:  # noqa: BLE001 - raised by the next write
                self._error = error

    def _sync(self) -> None:
        new, self._new = self._new, []
        for path in new:
            with suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    self._disk.sync(descriptor)
                finally:
                    os.close(descriptor)
        if new:
            if self._lock is not None:
                check_kept(self.folder, os.fstat(self._lock))
            for folder in {self.folder, *(path.parent for path in new)}:
                self._disk.sync_folder(folder)


def has_pictures(folder: Path) -> bool:
    """Whether pictures are in a folder that exists, or in its sub-folders."""
    return os.path.isdir(folder) and any(file.suffix.lower() in _PICTURES for file in folder.rglob("*"))
