"""Reads a source that may block on a thread of its own, so that ending never has to wait for it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator

from drivenet.frame import Frame
from drivenet.sources.base import Source, SourceStatus

_JOIN_S = 0.5


class Detached(Source):
    """A source opened and read by a daemon thread that hands over one frame at a time.

    ``close`` ends a waiting iteration at once; the thread itself ends when its blocked read does. Until
    iteration begins, a live source is read and its frames are thrown away, so that a run never starts with
    a backlog that gathered while the engine was loading; they are not counted.

    Args:
        open_source: opens the source; runs on the thread.

    Raises:
        DrivenetError: what opening raised.
    """

    def __init__(self, open_source: Callable[[], Source]) -> None:
        self._changed = threading.Condition()
        self._source: Source | None = None
        self._waiting: Frame | None = None
        self._error: Exception | None = None
        self._wanted = self._ended = self._closed = False
        self._thread = threading.Thread(target=self._work, args=(open_source,), name="source", daemon=True)
        self._thread.start()
        try:
            self._wait_opened()
        except BaseException:  # an interrupt while a server does not answer
            self.close()
            raise
        if self._source is None and self._error is not None:
            raise self._error

    def __iter__(self) -> Iterator[Frame]:
        try:
            for index in itertools.count():
                frame = self._next()
                if frame is None:
                    break
                yield frame.changed(index=index)
            if self._error is not None and not self._closed:
                raise self._error
        finally:  # also of an iteration that is left half-way
            self.close()

    def status(self) -> SourceStatus:
        """How the source behind it fares."""
        return self._source.status() if self._source is not None else SourceStatus()

    def close(self) -> None:
        """End the iteration at once and the thread as soon as its read returns."""
        with self._changed:
            source = None if self._closed else self._source
            self._closed = True
            self._changed.notify_all()
        if source is not None:
            source.close()
        if self._thread is not threading.current_thread():  # where the garbage collector may close it
            self._thread.join(_JOIN_S)

    def _wait_opened(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._source is not None or self._ended)

    def _next(self) -> Frame | None:
        with self._changed:
            self._wanted = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting is not None or self._ended or self._closed)
            frame, self._waiting = self._waiting, None
            self._changed.notify_all()
            return None if self._closed else frame

    def _work(self, open_source: Callable[[], Source]) -> None:
        try:
            source = open_source()
            if self._publish(source):
                self._read(source)
        except Exception as error:  # noqa: BLE001 - raised again where the frames are asked for
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _publish(self, source: Source) -> bool:
        """Make the opened source known; False, and the source closed, if nobody waits for it any more."""
        self.name, self.live, self.continuous = source.name, source.live, source.continuous
        self.fps, self.frames, self.size = source.fps, source.frames, source.size
        with self._changed:
            if not self._closed:
                self._source = source
                self._changed.notify_all()
                return True
        source.close()
        return False

    def _read(self, source: Source) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self.live or self._closed)
        for frame in source:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is None or not self._wanted or self._closed)
                if self._closed:
                    return
                self.fps, self.size = source.fps, source.size  # another stream may be behind it since it was lost
                self._waiting = frame
                self._changed.notify_all()
