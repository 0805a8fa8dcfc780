"""A recording that begins again at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from drivenet.errors import SourceError
from drivenet.frame import Frame
from drivenet.sources.base import Source, SourceStatus


class Looped(Source):
    """Plays a recording again and again until it is closed. Frame indices and times of the recording go on counting.

    Args:
        open_once: opens the recording anew; called first on construction.

    Raises:
        SourceError: if it cannot be opened, or later if it is not there any more.
    """

    def __init__(self, open_once: Callable[[], Source]) -> None:
        self._open_once = open_once
        self._lock = threading.Lock()
        self._closed = False
        self._before = SourceStatus()
        self._current = open_once()
        source = self._current
        self.name, self.continuous, self.fps, self.size = source.name, source.continuous, source.fps, source.size

    def __iter__(self) -> Iterator[Frame]:
        index, start_ns = 0, 0
        while not self._closed:
            first, newest_ns, step_ns = index, 0, round(1e9 / self.fps) if self.fps else 0
            for frame in self._current:
                if frame.media_ns is not None:
                    step_ns, newest_ns = frame.media_ns - newest_ns or step_ns, frame.media_ns
                    frame = frame.changed(media_ns=start_ns + frame.media_ns)
                yield frame.changed(index=index)
                index += 1
            if self._closed:
                return
            if index == first:
                raise SourceError(f"{self.name} gave no frame", "a recording that can be played again")
            start_ns += newest_ns + step_ns
            self._begin_again()

    def status(self) -> SourceStatus:
        """What all rounds have lost."""
        return self._current.status().with_losses_of(self._before)

    def close(self) -> None:
        """End the round that is played, and play no other."""
        with self._lock:
            self._closed = True
            self._current.close()

    def _begin_again(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._before = self._before.with_losses_of(self._current.status())
            self._current.close()
            self._current = self._open_once()
