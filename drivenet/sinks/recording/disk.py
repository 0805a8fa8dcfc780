"""The system calls of a recording, in one place so that a test can log them and cut the power between two."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from drivenet.errors import SinkError


class Disk:
    """Opens, writes and syncs. All methods raise OSError."""

    def create(self, path: Path, *, overwrite: bool) -> int:
        """Open a file for writing, locked and empty; FileExistsError if it exists, unless it may be written over."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if overwrite else os.O_EXCL)
        descriptor = os.open(path, flags, 0o666)
        try:
            lock(descriptor, path)
            os.ftruncate(descriptor, 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open_device(self, path: Path) -> int:
        """Open a pipe or a device."""
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def write(self, descriptor: int, data: bytes | memoryview, at: int | None) -> int:
        """Write at a position, or at the end of a pipe; the number of bytes that were taken."""
        return os.write(descriptor, data) if at is None else os.pwrite(descriptor, data, at)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Return when what was written so far would survive a power cut."""
        os.fdatasync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Likewise for the names in a folder. File systems that have no such call are left alone."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(descriptor)

    def make_folders(self, folder: Path) -> None:
        """Make a folder and those above it, and sync their names."""
        missing = [f for f in (folder, *folder.parents) if not os.path.exists(f)]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            self.sync_folder(made.parent)

    def unlink(self, path: Path) -> None:
        """Remove a file that may be gone."""
        path.unlink(missing_ok=True)


def lock(descriptor: int, path: Path) -> None:
    """Take the lock that says "this is being written"; SinkError if another program has it.

    It ends with the descriptor, also when the program is killed. File systems without locks have none.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise being_written(path) from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep a folder that is there to one program; SinkError as :func:`lock` if another one has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def is_being_written(path: Path) -> bool:
    """Whether another program holds the lock on a file."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def being_written(path: Path) -> SinkError:
    """The SinkError for a file that another program has locked."""
    return SinkError(f"{path} is being written by another program", "an output of its own for each")
