"""Frames between their sinks: each is settled once, in order, when every timed sink has had its delivery."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from drivenet.pipeline.accounting import FrameAccounting
from drivenet.result import Result

#: What became of a frame at one sink: ``dropped`` because it was slow, ``stopped`` because the run ended.
Outcome = Literal["published", "dropped", "stopped", "failed"]

#: A frame is settled without the sinks that still have it once so many newer ones wait behind it: more than a
#: queue holds, so that only a sink that hangs, or takes as long as for so many frames, is not waited for.
MAX_UNSETTLED = 8


@dataclass(eq=False)
class Delivery:
    """A frame that is on its way through sinks.

    Args:
        result: the frame.
        waiting: names of the sinks that have it still before them.
    """

    result: Result
    waiting: set[str]
    outcomes: set[Outcome] = field(default_factory=set)
    #: When each sink had it, so far as that counts for its times.
    published_ns: list[int] = field(default_factory=list)
    settled: bool = False

    def reason(self) -> str | None:
        """Why it counts as dropped; None if it was published."""
        if "published" in self.outcomes or not (self.outcomes or self.waiting):
            return None
        if "failed" in self.outcomes:
            return "failed"
        return "stopped" if "stopped" in self.outcomes else "sink"


class DeliveryTracker:
    """The frames that timed sinks were handed, oldest first. Not locked.

    Args:
        accounting: is told what became of each frame, at each sink and at all.
        names: of the timed sinks.
        record: is given every published frame, in order, with its final times.
    """

    def __init__(self, accounting: FrameAccounting, names: Iterable[str], record: Callable[[Result], None]) -> None:
        self._accounting, self._names, self._record = accounting, frozenset(names), record
        self._deliveries: deque[Delivery] = deque()
        self._advancing = False

    def __len__(self) -> int:
        """How many frames are not settled."""
        return len(self._deliveries)

    def begin(self, result: Result) -> Delivery:
        """A frame that every timed sink is to have."""
        delivery = Delivery(result, set(self._names))
        self._deliveries.append(delivery)
        self._advance()
        return delivery

    def book(self, delivery: Delivery, name: str, outcome: Outcome, at_ns: int = 0) -> None:
        """What became of a frame at one sink, the first time that it is said; ``at_ns``: when it had it."""
        if name not in delivery.waiting:
            return
        delivery.waiting.remove(name)
        delivery.outcomes.add(outcome)
        self._accounting.served(name, "dropped" if outcome == "stopped" else outcome)
        if outcome == "published" and not delivery.settled:
            delivery.published_ns.append(at_ns)
        self._advance()

    def _advance(self) -> None:
        if self._advancing:  # a recorder drops a frame for one that is being settled: all get this one first
            return
        self._advancing = True
        while self._deliveries and (len(self._deliveries) > MAX_UNSETTLED or not self._deliveries[0].waiting):
            self._settle(self._deliveries.popleft())
        self._advancing = False

    def _settle(self, delivery: Delivery) -> None:
        delivery.settled = True
        reason = delivery.reason()
        if reason is None:
            drawn = delivery.result.timeline.end
            timeline = delivery.result.timeline.then("publish", drawn, max(delivery.published_ns, default=drawn))
            self._accounting.published(timeline)
            self._record(delivery.result.with_timeline(timeline))
        else:
            self._accounting.dropped(reason)
