"""The segments of a source: which may be deleted for the disk budget, and locks that keep what an event is in."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from drivenet.sinks.recording.budget import DiskBudget
from drivenet.sinks.recording.clock import Segment
from drivenet.sinks.recording.disk import Disk

#: From so long before an event to so long after it segments are locked.
BEFORE_NS = AFTER_NS = 10_000_000_000
#: Without a budget, segments that ended so long before are forgotten: no event locks them any more.
_FORGOTTEN_NS = 6 * BEFORE_NS
LOCKED = ".locked"

log = logging.getLogger("drivenet.recording")


@dataclass(slots=True)
class _Kept:
    """All files of one segment number, and when it was; None where that is not known or not over.

    It is ``locked``, and ``marked`` once its markers are on the disk: who then deletes them unlocks it. ``turn`` tells
    how old it is, see :meth:`~drivenet.sinks.recording.budget.DiskBudget.turn`.

    There is one for every segment on the disk, so it is small: paths are strings, a fifth of a Path.
    """

    start_ns: int | None = None
    end_ns: int | None = None
    locked: bool = False
    marked: bool = False
    turn: int = 0
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
        budget: what they may take, with those of the node's other sources.
        disk: the system calls.
    """

    def __init__(self, budget: DiskBudget, disk: Disk) -> None:
        self._budget, self._disk = budget, disk
        budget.join(self)
        self._lock = threading.Lock()
        self._kept: dict[int, _Kept] = {}
        self._folders: set[Path] = set()
        self._events: list[tuple[int, int]] = []
        #: The last segment that was opened, which ends where the next one begins, whatever its number is.
        self._newest = 0, _Kept()

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
            kept.start_ns, kept.turn = segment.start_ns, kept.turn or self._budget.turn()
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

    @property
    def folders(self) -> set[Path]:
        """Where they lie."""
        with self._lock:
            return set(self._folders)

    def bytes(self, *, closed: bool = False) -> int:
        """What all of them take on the disk, or those alone that are complete."""
        with self._lock:
            return sum(kept.bytes() for kept in self._kept.values() if not (closed and kept.open))

    def oldest(self) -> tuple[int, int, int] | None:
        """The turn of the oldest that may be deleted, how many segments there are, and its number; None for none."""
        with self._lock:
            number = next((n for n in sorted(self._kept) if not (self._kept[n].open or self._kept[n].stays())), None)
            return None if number is None else (self._kept[number].turn, len(self._kept), number)

    def delete(self, number: int) -> int:
        """Delete a segment; its bytes, none where it is locked or deleted by now."""
        with self._lock:
            if number not in self._kept or self._kept[number].stays():
                return 0
            kept = self._kept.pop(number)
            for path in kept.files:
                self._disk.unlink(Path(path))
                log.info("deleted the oldest segment %s", path)
            return kept.bytes()

    def _forget(self, now_ns: int) -> None:
        if not self._budget.limited:
            before = now_ns - _FORGOTTEN_NS
            self._kept = {n: k for n, k in self._kept.items() if k.open or k.end_ns is None or k.end_ns > before}

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
