"""Which files recordings went to, for a node that may run for weeks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

#: So many paths are remembered.
_REMEMBERED = 64


class Written:
    """Counts the files that were made, and knows the last :data:`_REMEMBERED` of them. Any thread may use it.

    Iterating gives these, in order; ``in`` asks for these alone.
    """

    def __init__(self) -> None:
        self._last: deque[Path] = deque(maxlen=_REMEMBERED)
        self._count, self._lock = 0, threading.Lock()

    def append(self, path: Path) -> None:
        """A file was made."""
        with self._lock:
            self._last.append(path)
            self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Path]:
        with self._lock:
            return iter(list(self._last))
