"""Frames between their sinks: each is settled once, in order, when every timed sink has had its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from drivenet.pipeline.ledger import Ledger
from drivenet.result import Result

#: What became of a frame at one sink: ``dropped`` because it was slow, ``stopped`` because the run ended.
Outcome = Literal["published", "dropped", "stopped", "failed"]

#: A frame is settled without the sinks that still have it once so many newer ones wait behind it: more than a
#: queue holds, so that only a sink that hangs, or takes as long as for so many frames, is not waited for.
PATIENCE = 8


@dataclass(eq=False)
class Turn:
    """A frame that is on its way through sinks.

    Args:
        result: the frame.
        waiting: names of the sinks that have it still before them.
    """

    result: Result
    waiting: set[str]
    outcomes: set[Outcome] = field(default_factory=set)

    def reason(self) -> str | None:
        """Why it counts as dropped; None if it was published."""
        if "published" in self.outcomes or not (self.outcomes or self.waiting):
            return None
        if "failed" in self.outcomes:
            return "failed"
        return "stopped" if "stopped" in self.outcomes else "sink"


class Settlement:
    """The frames that timed sinks were handed, oldest first. Not locked.

    Args:
        ledger: is told what became of each frame, at each sink and at all.
        names: of the timed sinks.
        record: is given every published frame, in order, with its final stamps.
    """

    def __init__(self, ledger: Ledger, names: Iterable[str], record: Callable[[Result], None]) -> None:
        self._ledger, self._names, self._record = ledger, frozenset(names), record
        self._turns: deque[Turn] = deque()
        self._advancing = False

    def __len__(self) -> int:
        """How many frames are not settled."""
        return len(self._turns)

    def begin(self, result: Result) -> Turn:
        """A frame that every timed sink is to have."""
        turn = Turn(result, set(self._names))
        self._turns.append(turn)
        self._advance()
        return turn

    def book(self, turn: Turn, name: str, outcome: Outcome, at_ns: int = 0) -> None:
        """What became of a frame at one sink, the first time that it is said; ``at_ns``: when it had it."""
        if name not in turn.waiting:
            return
        turn.waiting.remove(name)
        turn.outcomes.add(outcome)
        self._ledger.served(name, "dropped" if outcome == "stopped" else outcome)
        stamps = turn.result.stamps
        if outcome == "published" and not stamps.settled:
            stamps.published = {**stamps.published, name: at_ns}
        self._advance()

    def _advance(self) -> None:
        if self._advancing:  # a recorder drops a frame for one that is being settled: all get this one first
            return
        self._advancing = True
        while self._turns and (len(self._turns) > PATIENCE or not self._turns[0].waiting):
            self._settle(self._turns.popleft())
        self._advancing = False

    def _settle(self, turn: Turn) -> None:
        turn.result.stamps.settled = True
        reason = turn.reason()
        if reason is None:
            self._ledger.published(turn.result.stamps)
            self._record(turn.result)
        else:
            self._ledger.dropped(reason)
