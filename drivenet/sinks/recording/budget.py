"""What the segments of a node may take on the disk, however many sources it has: the oldest are deleted."""

from __future__ import annotations

import errno
import os
import threading
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from drivenet.latency import now_ns

if TYPE_CHECKING:
    from drivenet.sinks.recording.retention import Retention

#: Between two looks at the disk, while a segment is written.
_EVERY_NS = 500_000_000


class BudgetError(OSError):
    """A disk budget that cannot hold; what would help is not another place."""

    cure = "unlock segments by deleting their .locked files, or change --keep or --keep-free"


class DiskBudget:
    """Shared by the recordings of all sources of a node. Any thread may use it.

    Args:
        keep_bytes: what all segments may take together; 0 for no limit.
        keep_free_bytes: what stays free on their file systems; 0 for no limit.
    """

    def __init__(self, keep_bytes: int = 0, keep_free_bytes: int = 0) -> None:
        self._keep_bytes, self._keep_free_bytes = keep_bytes, keep_free_bytes
        #: Whether there is any.
        self.limited = bool(keep_bytes or keep_free_bytes)
        self._lock = threading.Lock()
        self._sharers: list[Retention] = []
        self._checked_ns = 0
        self._turns = count(1)

    def join(self, retention: Retention) -> None:
        """The segments of a source count, too."""
        with self._lock:
            self._sharers.append(retention)

    def turn(self) -> int:
        """A number that is above all before: which of two segments of different sources is older. Those of earlier
        runs have 0.
        """
        return next(self._turns)

    def check(self, *, now: bool = False) -> None:
        """Delete the oldest segments until the budget holds; OSError if it cannot hold."""
        if not self.limited:
            return
        with self._lock:
            if not now and now_ns() - self._checked_ns < _EVERY_NS:
                return
            total = sum(each.bytes() for each in self._sharers)
            while (reason := self._short_of(total)) and (deleted := self._delete_oldest()) is not None:
                total -= deleted
            self._checked_ns = now_ns()
            if reason and self._must_stop():
                raise BudgetError(errno.ENOSPC, f"{reason}, and nothing is left to delete")

    def _short_of(self, total: int) -> str:
        """What there is too little of; empty if nothing."""
        if self._keep_bytes and total > self._keep_bytes:
            return f"segments take more than {_amount(self._keep_bytes)}"
        return f"less than {_amount(self._keep_free_bytes)} is free" if self._is_full() else ""

    def _is_full(self) -> bool:
        folders = {folder for each in self._sharers for folder in each.folders}
        return bool(self._keep_free_bytes) and any(_free(folder) < self._keep_free_bytes for folder in folders)

    def _must_stop(self) -> bool:
        """Whether the budget is missed by more than the segments that are being written."""
        closed = sum(each.bytes(closed=True) for each in self._sharers)
        return self._is_full() or 0 < self._keep_bytes < closed

    def _delete_oldest(self) -> int | None:
        """Delete a segment; its bytes, None if there is none that may go.

        Nobody knows which is the oldest of those that several sources have of earlier runs: the source with the most
        of them gives one.
        """
        found = [(*oldest, each) for each in self._sharers if (oldest := each.oldest())]
        if not found:
            return None
        _, _, number, owner = min(found, key=lambda one: (one[0], -one[1]))
        return owner.delete(number)


def _free(folder: Path) -> int:
    """Free bytes of the file system that a folder is on, or will be on."""
    while not os.path.exists(folder):
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _amount(count: int) -> str:
    return f"{count / 1e9:g} GB" if count >= 10**9 else f"{count / 1e6:g} MB"
