"""Which segments stay: a disk budget that deletes the oldest, and locks that keep what an event is in."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from drivenet.latency import now_ns
from drivenet.sinks.recording.clock import Segment
from drivenet.sinks.recording.disk import Disk

#: From so long before an event to so long after it segments are locked.
BEFORE_NS = AFTER_NS = 10_000_000_000
#: Without a budget, segments that ended so long before are forgotten: no event locks them any more.
_FORGOTTEN_NS = 6 * BEFORE_NS
LOCKED = ".locked"
#: Between two looks at the disk, while a segment is written.
_EVERY_NS = 500_000_000

log = logging.getLogger("drivenet.recording")


class BudgetError(OSError):
    """A disk budget that cannot hold; what would help is not another place."""

    cure = "unlock segments by deleting their .locked files, or change --keep or --keep-free"


@dataclass(slots=True)
class _Kept:
    """All files of one segment number, and when it was; None where that is not known or not over.

    It is ``locked``, and ``marked`` once its markers are on the disk: who then deletes them unlocks it.

    There is one for every segment on the disk, so it is small: paths are strings, a fifth of a Path.
    """

    start_ns: int | None = None
    end_ns: int | None = None
    locked: bool = False
    marked: bool = False
    complete: int = 0
    files: tuple[str, ...] = ()
    open: tuple[str, ...] = ()

    def bytes(self) -> int:
        """On the disk, by now."""
        return self.complete + sum(_size(path) for path in self.open)

    def stays(self) -> bool:
        """Whether it is locked, and nobody has deleted its markers since."""
        if self.marked and not any(_marker(path).exists() for path in (*self.files, *self.open)):
            self.locked = self.marked = False
        return self.locked

    def add(self, path: str) -> None:
        """A file is complete; one that is known counts once: a recording that is opened again finds its own."""
        self.open = tuple(other for other in self.open if other != path)
        if path not in self.files:
            self.files, self.complete = (*self.files, path), self.complete + _size(path)


class Retention:
    """The segments of all recordings of a source, by number. Any thread may use it.

    Args:
        keep_bytes: what they may take together; 0 for no limit.
        keep_free_bytes: what stays free on their file systems; 0 for no limit.
        disk: the system calls.
    """

    def __init__(self, keep_bytes: int, keep_free_bytes: int, disk: Disk) -> None:
        self._keep_bytes, self._keep_free_bytes, self._disk = keep_bytes, keep_free_bytes, disk
        self._limited = bool(keep_bytes or keep_free_bytes)
        self._lock = threading.Lock()
        self._kept: dict[int, _Kept] = {}
        self._folders: set[Path] = set()
        self._events: list[tuple[int, int]] = []
        #: The last segment that was opened, which ends where the next one begins, whatever its number is.
        self._newest = 0, _Kept()
        self._checked_ns = 0

    def found(self, folder: Path, segments: Iterable[tuple[int, Path]]) -> None:
        """Segments of earlier runs that lie in a folder."""
        with self._lock:
            self._folders.add(folder)
            for number, path in segments:
                kept = self._kept.setdefault(number, _Kept())
                kept.add(str(path))
                if _marker(str(path)).exists():
                    kept.locked = kept.marked = True

    def opened(self, segment: Segment, path: Path) -> None:
        """A segment is being written, and the one before has ended. Raises OSError if it cannot be locked."""
        with self._lock:
            self._forget(segment.start_ns)
            kept = self._kept.setdefault(segment.number, _Kept())
            kept.start_ns = segment.start_ns
            kept.open = (*kept.open, str(path))
            if segment.number > self._newest[0]:
                self._newest[1].end_ns = segment.start_ns
                self._newest = segment.number, kept
            if kept.stays() or any(self._is_in(kept, event) for event in self._events):
                self._mark(kept)

    def closed(self, segment: Segment, path: Path) -> None:
        """A segment is complete."""
        with self._lock:
            kept = self._kept.get(segment.number, _Kept())
            kept.add(str(path))

    def lock(self, moment_ns: int) -> None:
        """Keep the segments around an event, those to come too. Raises OSError if they cannot be marked."""
        event = moment_ns - BEFORE_NS, moment_ns + AFTER_NS
        with self._lock:
            self._events = [*(e for e in self._events[-64:] if e[1] < event[0]), *self._joined(event)]
            for kept in self._kept.values():
                if self._is_in(kept, event) and not kept.stays():
                    self._mark(kept)

    def check(self, *, now: bool = False) -> None:
        """Delete the oldest segments until the budget holds; OSError if it cannot hold."""
        if not self._limited:
            return
        with self._lock:
            if not now and now_ns() - self._checked_ns < _EVERY_NS:
                return
            total = sum(kept.bytes() for kept in self._kept.values())
            while (reason := self._short_of(total)) and (deleted := self._delete_oldest()) is not None:
                total -= deleted
            self._checked_ns = now_ns()
            if reason and self._must_stop():
                raise BudgetError(errno.ENOSPC, f"{reason}, and nothing is left to delete")

    def _forget(self, now_ns: int) -> None:
        if not self._limited:
            before = now_ns - _FORGOTTEN_NS
            self._kept = {n: k for n, k in self._kept.items() if k.open or k.end_ns is None or k.end_ns > before}

    def _short_of(self, total: int) -> str:
        """What there is too little of; empty if nothing."""
        if self._keep_bytes and total > self._keep_bytes:
            return f"segments take more than {_amount(self._keep_bytes)}"
        return f"less than {_amount(self._keep_free_bytes)} is free" if self._is_full() else ""

    def _is_full(self) -> bool:
        return bool(self._keep_free_bytes) and any(_free(folder) < self._keep_free_bytes for folder in self._folders)

    def _must_stop(self) -> bool:
        """Whether the budget is missed by more than the segment that is being written."""
        closed = sum(kept.bytes() for kept in self._kept.values() if not kept.open)
        return self._is_full() or 0 < self._keep_bytes < closed

    def _delete_oldest(self) -> int | None:
        """Delete a segment; its bytes, None if there is none that may go."""
        victim = next((n for n in sorted(self._kept) if not (self._kept[n].open or self._kept[n].stays())), None)
        if victim is None:
            return None
        kept = self._kept.pop(victim)
        for path in kept.files:
            self._disk.unlink(Path(path))
            log.info("deleted the oldest segment %s", path)
        return kept.bytes()

    def _mark(self, kept: _Kept) -> None:
        kept.locked = True
        for path in (*kept.files, *kept.open):
            marker = _marker(path)
            if not marker.exists():
                marker.touch()
                self._disk.sync_folder(marker.parent)
                log.info("locked the segment %s", path)
        kept.marked = True

    def _joined(self, event: tuple[int, int]) -> list[tuple[int, int]]:
        """The event as one with those that overlap it."""
        near = [e for e in self._events if e[1] >= event[0]]
        return [(min([event[0], *(e[0] for e in near)]), max([event[1], *(e[1] for e in near)]))]

    @staticmethod
    def _is_in(kept: _Kept, event: tuple[int, int]) -> bool:
        if kept.start_ns is None or kept.start_ns > event[1]:
            return False
        return kept.end_ns is None or kept.end_ns >= event[0]


def _marker(path: str) -> Path:
    """The empty file that locks the segment of a file."""
    return Path(path).with_suffix(LOCKED)


def _size(path: str) -> int:
    """In bytes; 0 if it is gone."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _free(folder: Path) -> int:
    """Free bytes of the file system that a folder is on, or will be on."""
    while not os.path.exists(folder):
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _amount(count: int) -> str:
    return f"{count / 1e9:g} GB" if count >= 10**9 else f"{count / 1e6:g} MB"
