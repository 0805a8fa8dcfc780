"""Newest-frame slots: every viewer takes the newest picture when it is ready for one, and delays nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from drivenet.result import Result
from drivenet.sinks.web.snapshot import Snapshot
from drivenet.sinks.web.throttle import Throttle

#: Viewers at a time; one more gets 503.
MAX_VIEWERS = 32


class TooManyViewersError(Exception):
    """Every place is taken."""


class EndedError(Exception):
    """The server stops."""


class Slot:
    """One viewer's. Belongs to the event loop."""

    def __init__(self) -> None:
        self._shot: Snapshot | None = None
        self._filled = asyncio.Event()
        self._ended = False
        #: Shots that a newer one replaced before the viewer was ready.
        self.skipped = 0

    def put(self, snapshot: Snapshot) -> None:
        """Leave the newest snapshot, in place of one that nobody took."""
        self.skipped += self._shot is not None
        self._shot = snapshot
        self._filled.set()

    def end(self) -> None:
        """No snapshot comes any more."""
        self._ended = True
        self._filled.set()

    async def take(self) -> Snapshot:
        """The newest snapshot that was not taken yet; waits for one. EndedError when the server stops."""
        await self._filled.wait()
        if self._ended:
            raise EndedError
        self._filled.clear()
        snapshot, self._shot = self._shot, None
        assert snapshot is not None
        return snapshot

    def newer(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot that came since, or else the given one. EndedError when the server stops."""
        if self._ended:
            raise EndedError
        self._filled.clear()
        newest, self._shot = self._shot or snapshot, None
        return newest


class HubGroup:
    """Several hubs that one server serves.

    Args:
        hubs: all of them.
    """

    def __init__(self, hubs: Sequence[Hub]) -> None:
        self._hubs = hubs

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """See :meth:`Hub.start`."""
        for hub in self._hubs:
            hub.start(loop)

    def end_viewers(self) -> None:
        """See :meth:`Hub.end_viewers`."""
        for hub in self._hubs:
            hub.end_viewers()

    def stop(self) -> None:
        """See :meth:`Hub.stop`."""
        for hub in self._hubs:
            hub.stop()


class Hub:
    """Where the sink's thread leaves results and viewers find them.

    Args:
        max_viewers: how many may watch at a time.
    """

    def __init__(self, max_viewers: int = MAX_VIEWERS) -> None:
        self.newest: Snapshot | None = None
        #: Keeps the recording's segments around now; None while there are none.
        self.lock: Callable[[], None] | None = None
        self.max_viewers = max_viewers
        self.throttle = Throttle()
        self._slots: set[Slot] = set()
        self._seq = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Future[None] | None = None
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="drivenet-web-encode")

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Viewers live in this loop from now on."""
        self._loop, self._end = loop, loop.create_future()

    def end_viewers(self) -> None:
        """Send everybody home. Called in the loop."""
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
        for slot in self._slots:
            slot.end()

    def stop(self) -> None:
        """No encoding begins any more."""
        self._loop = None
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def viewers(self) -> int:
        """How many watch."""
        return len(self._slots)

    def watched(self) -> dict[str, int]:
        """How many ``viewers`` there are, that they get every n-th picture, and whether a recording can be locked."""
        return {
            "viewers": self.viewers, "viewers_get_every": self.throttle.every, "lockable": self.lock is not None,
        }  # fmt: skip

    def publish(self, result: Result) -> None:
        """Leave a result. Called by the sink's thread: a few microseconds, whoever watches."""
        self._seq += 1
        self.newest = snapshot = Snapshot(result, self._seq)
        loop = self._loop
        if self._slots and self.throttle.admits(result.timeline) and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._hand_out, snapshot)

    def _hand_out(self, snapshot: Snapshot) -> None:
        for slot in self._slots:
            slot.put(snapshot)

    @contextmanager
    def watch(self) -> Iterator[Slot]:
        """A place for a viewer, with the newest snapshot in it. TooManyViewersError if all are taken."""
        if len(self._slots) >= self.max_viewers:
            raise TooManyViewersError
        slot = Slot()
        self._slots.add(slot)
        if self.newest is not None:
            slot.put(self.newest)
        try:
            yield slot
        finally:
            self._slots.discard(slot)

    async def encoded(
        self, snapshot: Snapshot, kind: str, encode: Callable[[], bytes], marked: Hashable = None
    ) -> bytes:
        """What ``encode`` gives, in another thread and once for all who ask for this kind of this snapshot.

        Of one that is ``marked`` otherwise every second, while nothing new comes, the last is kept. EndedError when
        the server stops before it is ready.
        """
        of, task = snapshot.encodings.get(kind, (None, None))
        if task is None or of != marked:
            task = asyncio.get_running_loop().run_in_executor(self._pool, encode)
            snapshot.encodings[kind] = marked, task
        # unlike wait_for, it cancels nothing: a viewer who leaves takes nothing from the others
        awaited: list[asyncio.Future[Any]] = [task, *([self._end] if self._end else [])]
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise EndedError
        return task.result()
