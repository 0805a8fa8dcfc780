"""Opens a live source again and again when it is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from drivenet.backoff import Backoff
from drivenet.errors import SourceError
from drivenet.frame import Frame
from drivenet.sources.base import Source, SourceStatus
from drivenet.sources.causes import cause_of, is_mistake

log = logging.getLogger(__name__)

#: A camera that is back is to be seen soon: a try costs little.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 1.0
#: A wrong password is not tried more often: cameras lock out who does.
REFUSED_WAIT_S = 30.0


class Reconnecting(Source):
    """A live source that outlives its failures; one that is not live passes through unchanged.

    When the source fails or ends it is opened again after 0.5 s and then every second, until ``close``; where the
    password is refused after 1, 2, 4 ... and every 30 s.
    Frame indices go on counting; meanwhile no frames come. One that then begins as it did before is a recording that
    did not say so (see :attr:`~drivenet.sources.base.Source.begins`): it is not read again. A camera that answers with
    a file, as proxies do while it is away, stays lost.

    Args:
        open_once: opens the source anew; called first on construction, where its failure is final.
        first_wait_s: seconds before the first new attempt.
        longest_wait_s: what the wait doubles up to.
        absent: how to name a live source that may be away at first; empty if that is an error.
        forgiving: whether it may also be away for what looks like a mistake: no such name, path, device or password;
            and where it is doubtful.
        doubtful: whether what is away may be a recording, for which nobody would wait.

    Raises:
        SourceError: if the source cannot be opened the first time and may not be away.
    """

    #: As :class:`~drivenet.sources.base.SourceStatus` has them.
    reconnects = 0
    last_error = cause = ""
    #: Whether it was live, and whether that is sure: it is then no recording that ends, whatever answers in its place.
    _lived = _is_sure = False

    def __init__(
        self,
        open_once: Callable[[], Source],
        first_wait_s: float = FIRST_WAIT_S,
        longest_wait_s: float = LONGEST_WAIT_S,
        absent: str = "",
        forgiving: bool = False,
        doubtful: bool = False,
    ) -> None:
        self._open_once = open_once
        self._backoff, self._refused = Backoff(first_wait_s, longest_wait_s), Backoff(longest_wait_s, REFUSED_WAIT_S)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._current: Source | None = None
        #: What sources that are closed by now have lost.
        self._before = SourceStatus()
        try:
            self._take(open_once())
        except SourceError as error:
            if not absent:
                raise
            if (doubtful or is_mistake(error)) and not forgiving:
                cure = "; ".join(filter(None, (error.cure, "--wait waits for it")))
                raise type(error)(error.received, error.expected, cure) from error
            self.name, self.live = absent, True
            self._note(error)

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        source = self._current or self._reopened()
        while source is not None:
            for frame in self._until_lost(source):
                yield frame.changed(index=index)
                index += 1
            source = self._gone_on(source) if self.live else None

    def status(self) -> SourceStatus:
        """What became of it so far."""
        current = self._current
        away = current is None and not self._stop.is_set()
        told = SourceStatus(self.reconnects, self.last_error, away=away, cause=self.cause).with_losses_of(self._before)
        return told if current is None else told.with_losses_of(current.status())

    def close(self) -> None:
        """Stop reading, waiting and opening."""
        self._stop.set()
        self._drop()

    def _until_lost(self, source: Source) -> Iterator[Frame]:
        try:
            for frame in source:
                self.fps = source.fps  # that of a stream which states none is learned
                yield frame
            self.last_error, self.cause = f"{self.name} ended", "ended"
        except SourceError as error:
            if not self.live:
                raise
            self._note(error)

    def _gone_on(self, before: Source) -> Source | None:
        """The source opened anew; None once closed, or if it is a recording that came to its end."""
        again = self._reopened()
        alike = again is not None and before.begins is not None and again.begins == before.begins
        if self._is_sure or not (before.ended and alike):
            return again
        self._drop()
        log.info("%s begins as it did before: a recording, which has ended", self.name)
        return None

    def _reopened(self) -> Source | None:
        """The source opened anew, however long that takes; None once closed."""
        self._drop()
        self._backoff.reset()
        self._refused.reset()
        while not self._stop.wait(self._next_wait_s()):
            try:
                source = self._opened()
            except SourceError as error:
                self._note(error)
                continue
            self.reconnects += 1
            self._take(source)
            return source
        return None

    def _opened(self) -> Source:
        """The source opened anew; SourceError for a file where it was live."""
        source = self._open_once()
        if self._lived and not source.live:
            source.close()
            raise SourceError(f"{source.name} answers with a file", "the live stream that was there")
        return source

    def _next_wait_s(self) -> float:
        return (self._refused if self.cause == "unauthorised" else self._backoff).next_s()

    def _note(self, error: SourceError) -> None:
        self.last_error, self.cause = str(error), cause_of(error)

    def _take(self, source: Source) -> None:
        self.name, self.live, self.continuous = source.name, source.live, source.continuous
        self.fps, self.frames, self.size = source.fps, source.frames, source.size
        self._lived = self._lived or source.live
        self._is_sure = self._is_sure or (source.live and source.begins is None)
        with self._lock:
            self._current = source
        if self._stop.is_set():
            self._drop()

    def _drop(self) -> None:
        """Close the current source, once."""
        with self._lock:
            source, self._current = self._current, None
        if source is not None:
            self._before = self._before.with_losses_of(source.status())
            source.close()
