"""How frames pass from one thread to the next: the newest wins, or nobody is lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from drivenet.errors import UsageError, nearest

Policy = Literal["latest", "every"]
POLICIES = ("latest", "every")

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A bounded place between one giver and one taker.

    Args:
        policy: ``latest``: a new item replaces the waiting one; ``every``: the giver waits for room.
        depth: items that may wait under ``every``; under ``latest`` it is always one.
        superseded: called with every item that a newer one replaced.

    Raises:
        UsageError: for another policy.
    """

    def __init__(self, policy: str, depth: int = 2, superseded: Callable[[T], None] = lambda _: None) -> None:
        if policy not in POLICIES:
            raise UsageError(f"no policy {policy!r}", cure=nearest(policy, POLICIES))
        self._latest, self._superseded = policy == "latest", superseded
        self._depth = 1 if self._latest else depth
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Give an item; False if the mailbox is closed, and the item stays with the giver."""
        with self._changed:
            if not self._latest:
                self._changed.wait_for(self._accepts)
            if self._closed:
                return False
            replaced = [self._items.popleft()] if len(self._items) >= self._depth else []
            self._items.append(item)
            self._changed.notify_all()
        for old in replaced:
            self._superseded(old)
        return True

    def take(self, timeout_s: float | None = None) -> T | None:
        """The oldest waiting item; None after the time-out, or when the mailbox is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def wait_for_item(self, timeout_s: float) -> bool:
        """Whether an item waits to be taken; False after the time, or when the mailbox is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            return bool(self._items)

    def wait_for_room(self, timeout_s: float) -> bool:
        """Whether an item could be given without waiting or replacing, or was refused at once; False after the time.

        A giver that asks before it makes an item makes it from what is newest then.
        """
        with self._changed:
            return self._changed.wait_for(self._accepts, timeout_s)

    @property
    def finished(self) -> bool:
        """Closed, and everything that waited was taken."""
        with self._changed:
            return self._closed and not self._items

    def close(self) -> None:
        """Refuse new items; those that wait can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> list[T]:
        """Close, and take back what waits."""
        with self._changed:
            self._closed = True
            left = list(self._items)
            self._items.clear()
            self._changed.notify_all()
        return left

    def _accepts(self) -> bool:
        return self._closed or len(self._items) < self._depth
