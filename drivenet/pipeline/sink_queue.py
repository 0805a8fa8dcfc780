"""One sink's queue: what waits for it, and what becomes of results that find it full."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from drivenet.pipeline.delivery import Delivery
from drivenet.sinks.base import Sink

#: Results that may wait. Recordings may be slow for a moment; what shall be new waits no longer than it must.
_DEPTHS = {"block": 4, "drop": 2}
#: For recorders, whose frames may be settled many at a time.
_RECORDS_DEPTH = 16
#: Kinds that wait beside each other, and how many of each; of more, the oldest go.
_BESIDE, _BESIDE_DEPTH = ("event", "settled"), 64
#: What a sink still gets when the run ends early.
_LASTING = ("event", "health", "close")


@dataclass(eq=False)
class Task:
    """Something that a sink is told.

    Args:
        kind: ``publish``, ``settled``, ``health``, ``event``, ``marked``, ``status`` or ``close``.
        act: how it is told.
        delivery: the frame that is published.
    """

    kind: str
    act: Callable[[Sink], bool | None]
    delivery: Delivery | None = None


class SinkQueue:
    """What waits for a sink, in order. Not locked, but for ``changed``.

    Args:
        sink: who is served.
        name: a name that no other has.
        policy: of the run: under ``every`` a sink that blocks is never offered more than there is room for.
        changed: told when there is something to do.
    """

    #: Serves the sink; None while that is for the thread that runs the pipeline to do.
    thread: threading.Thread | None = None
    #: What the sink does just now.
    task: Task | None = None
    #: It raised an error, and is only closed any more.
    failed = False
    #: Since when it takes no frame, and is tried again; 0 while it does.
    away_ns = 0
    #: Why, as it was told last; None while it does.
    why: str | None = None
    #: It will never take one again.
    gone = False
    #: It was closed.
    ended = False

    def __init__(self, sink: Sink, name: str, policy: str, changed: threading.Condition) -> None:
        self.sink, self.name, self.changed = sink, name, changed
        self.blocks = policy == "every" and sink.overflow == "block"
        self.depth = _RECORDS_DEPTH if sink.records else _DEPTHS[sink.overflow]
        self._tasks: deque[Task] = deque()

    @property
    def idle(self) -> bool:
        """Nothing to do."""
        return not (self._tasks or self.task)

    @property
    def waiting(self) -> bool:
        """Whether something is to be begun."""
        return bool(self._tasks)

    def has_room(self, reserved: int = 0) -> bool:
        """Whether results would find room, beside some that are to come already."""
        return len(self._deliveries()) + reserved < self.depth

    def offer(self, delivery: Delivery) -> Delivery | None:
        """Give a result; the oldest one that waits, if it had to make room."""
        deliveries = self._deliveries()
        oldest = deliveries[0] if len(deliveries) >= self.depth else None
        if oldest:
            self._tasks.remove(oldest)
        self._give(Task("publish", lambda sink: sink.publish(delivery.result), delivery))
        return oldest.delivery if oldest else None

    def tell(self, kind: str, act: Callable[[Sink], bool | None]) -> None:
        """Tell the sink something, in place of what waits of this kind; events and times wait beside each other."""
        same = [task for task in self._tasks if task.kind == kind]
        for task in same[: max(0, len(same) - _BESIDE_DEPTH + 1)] if kind in _BESIDE else same:
            self._tasks.remove(task)
        self._give(Task(kind, act))

    def take(self) -> Task:
        """What is to be done next; it counts as being done until :meth:`done`."""
        self.task = self._tasks.popleft()
        return self.task

    def done(self) -> None:
        """The sink has returned."""
        self.ended = self.task is not None and self.task.kind == "close"
        self.task = None

    def clear(self) -> list[Delivery]:
        """Take back what waits, but for health, events and the closing."""
        deliveries = [task.delivery for task in self._deliveries() if task.delivery]
        self._tasks = deque(task for task in self._tasks if task.kind in _LASTING)
        return deliveries

    def _deliveries(self) -> list[Task]:
        return [task for task in self._tasks if task.delivery]

    def _give(self, task: Task) -> None:
        self._tasks.append(task)
        self.changed.notify_all()


def unique(names: Iterable[str]) -> list[str]:
    """Names of which no two are the same: ``video``, ``video-2``."""
    taken: list[str] = []
    for name in names:
        number, chosen = 1, name
        while chosen in taken:
            number += 1
            chosen = f"{name}-{number}"
        taken.append(chosen)
    return taken
