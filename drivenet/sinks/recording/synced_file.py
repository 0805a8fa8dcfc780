"""A file that is synced while it is written, so that a power cut costs a second of it and not all."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from drivenet.latency import now_ns
from drivenet.sinks.recording.disk import Disk
from drivenet.sinks.recording.names import next_free
from drivenet.sinks.target import check_kept

#: From the end of one sync to the beginning of the next, in seconds.
SYNC_EVERY_S = 0.7
#: A sync that lasts longer is an error: the disk hangs.
SYNC_TIMEOUT_S = 10.0


class SyncedFile:
    """A new file, open for writing. A thread of its own syncs it; what goes wrong there, the next write raises.

    What libraries ask of a file object is here: ``write``, ``seek``, ``tell``, ``flush``, ``close``. A pipe or a
    device is written in order and never synced.

    Args:
        path: where; if it exists the next free name is taken, unless it may be written over.
        overwrite: write over a file that exists.
        disk: the system calls.
        housekeeping: called before each sync, from the syncing thread; what it raises, the next write raises.

    Raises:
        OSError, SinkError: if it cannot be made, or another program writes it.
    """

    def __init__(
        self, path: Path, *, overwrite: bool, disk: Disk, housekeeping: Callable[[], None] = lambda: None
    ) -> None:
        self._disk, self._housekeeping = disk, housekeeping
        disk.make_folders(path.parent)
        self.path, self._descriptor = _create(path, overwrite, disk)
        self.status = os.fstat(self._descriptor)
        self.regular = stat.S_ISREG(self.status.st_mode)
        self._position = self.size = 0
        self._error: Exception | None = None
        self._dirty, self._named, self._syncing_since_ns = True, False, 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_synced, name="sync", daemon=True) if self.regular else None
        if self._thread:
            self._thread.start()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write all of it; OSError or SinkError if that, or a sync before it, went wrong."""
        self.check()
        left = memoryview(data)
        while left:
            done = self._disk.write(self._descriptor, left, self._position if self.regular else None)
            if not done:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._position += done
            left = left[done:]
        self.size = max(self.size, self._position)
        self._dirty = True
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to where the next write goes."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Where the next write goes."""
        return self._position

    def seekable(self) -> bool:
        """Whether it is more than a pipe."""
        return self.regular

    def truncate(self, size: int) -> int:
        """Take back what was written beyond a size."""
        if self.regular:
            self._disk.truncate(self._descriptor, size)
            self._position = self.size = size
        return size

    def flush(self) -> None:
        """Nothing waits in memory."""

    def check(self) -> None:
        """Raise what went wrong in a sync; OSError if one hangs."""
        if self._error:
            raise self._error
        since = self._syncing_since_ns
        if since and (now_ns() - since) / 1e9 > SYNC_TIMEOUT_S:
            raise OSError(errno.ETIMEDOUT, f"the disk has not finished a sync for {SYNC_TIMEOUT_S:.0f} s")

    def close(self) -> None:
        """Sync and close; raises what went wrong since the last write, after it was closed."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._thread:
            self._thread.join()
            self._sync()
        os.close(self._descriptor)
        if self._error:
            raise self._error

    def discard(self) -> None:
        """Close and remove: there was nothing worth keeping."""
        with suppress(OSError):
            self.close()
        if self.regular:
            self._disk.unlink(self.path)

    def _keep_synced(self) -> None:
        """The syncing thread: at once, so that the name is safe, and then about every second."""
        while not self._error:
            self._sync()
            if self._closing.wait(SYNC_EVERY_S):
                return

    def _sync(self) -> None:
        try:
            self._housekeeping()
            if self._dirty or not self._named:
                self._dirty = False
                self._syncing_since_ns = now_ns()
                self._disk.sync(self._descriptor)
                if not self._named:
                    self._disk.sync_folder(self.path.parent)
                    self._named = True
            check_kept(self.path, self.status)
        except Exception as error:  # noqa: BLE001 - raised by the next write
            self._error = self._error or error
        finally:
            self._syncing_since_ns = 0


def _create(path: Path, overwrite: bool, disk: Disk) -> tuple[Path, int]:
    while True:
        if os.path.exists(path) and not os.path.isfile(path):
            return path, disk.open_device(path)
        chosen = path if overwrite else next_free(path)
        with suppress(FileExistsError):  # somebody was quicker
            return chosen, disk.create(chosen, overwrite=overwrite)
