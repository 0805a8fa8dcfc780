"""Whether a path can be written to, asked before the run and leaving nothing behind; and what became of it after."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from drivenet.errors import SinkError, UsageError

#: A disk that has no room for this has none for a recording.
_PROBE_BYTES = 1 << 16


def check_writable(path: Path) -> None:
    """Try to write where a file is going to be. Missing folders are left missing.

    Raises:
        SinkError: if the path is a folder, or its place is no folder, not writable or full.
    """
    try:
        there = _stat(path)
        if there and stat.S_ISDIR(there.st_mode):
            raise SinkError(f"cannot write {path}: it is a folder", "a file name")
        if there and not stat.S_ISREG(there.st_mode):
            return  # a device or a pipe: opening it is the only test
        if there:
            path.open("ab").close()
        _probe(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def check_folder(path: Path) -> None:
    """Try to write into a folder that may not exist yet, and is not made here; SinkError as above."""
    try:
        _probe(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def check_kept(path: Path, opened: os.stat_result) -> None:
    """Ask for a file, before or after it is closed, or for a folder that is written to: a device keeps nothing.

    Raises:
        SinkError: if its path leads nowhere any more, or to another file.
    """
    if not (stat.S_ISREG(opened.st_mode) or stat.S_ISDIR(opened.st_mode)):
        return
    try:
        kept = os.path.samestat(path.stat(), opened)
    except (FileNotFoundError, NotADirectoryError):
        kept = False
    except OSError as error:
        raise cannot_write(path, error) from error
    if not kept:
        raise SinkError(f"{path} was removed or replaced while it was written", cure="leave it until the run has ended")


def check_apart(path: str | Path, read: Iterable[str | Path | None]) -> None:
    """Raise UsageError if a file that is going to be written is one of those that are read; None and names are none."""
    mine = identity(path)
    if mine is not None and any(mine == identity(file) for file in read if file and os.path.exists(file)):
        raise UsageError(f"output {path} is what is read", "a place of its own")


def identity(path: str | Path) -> tuple[int, int] | str | None:
    """The same for all names of a file or a folder; None for a device or a pipe, which is never written over."""
    try:
        found = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    is_kept = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    return (found.st_dev, found.st_ino) if is_kept else None


def check_stdout() -> None:
    """Raise SinkError where this process has no standard output."""
    if sys.stdout is None:
        raise SinkError("standard output is closed", cure="write to a file instead of -")


def cannot_write(path: Path, error: Exception) -> SinkError:
    """The SinkError for what the operating system said."""
    said = getattr(error, "strerror", None) or str(error)
    cure = getattr(error, "cure", "name a place that is writable and has room")
    return SinkError(f"cannot write {path}: {said}", cure=cure)


def _stat(path: Path) -> os.stat_result | None:
    """None if there is nothing of that name; OSError if that cannot be told, or nothing can have it."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _probe(folder: Path) -> None:
    """Write and remove a file in a folder, or in the nearest one above it that exists."""
    while not os.path.lexists(folder):
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder) as f:
        f.write(bytes(_PROBE_BYTES))
        f.flush()
        os.fsync(f.fileno())
