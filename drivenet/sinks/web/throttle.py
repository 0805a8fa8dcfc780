"""Inference first: viewers get fewer pictures while it has to wait for processors."""

from __future__ import annotations

from drivenet.latency import Timeline

#: At the worst viewers get every n-th picture.
RAREST = 4
#: Shares of the time of ``infer`` spent waiting: above the first one viewers get less, below the second one more.
TOO_MUCH, LITTLE = 0.15, 0.08
#: Pictures that are looked at together, and so many calm looks in a row that viewers get more again.
LOOK, CALM = 10, 12
#: After so long without a picture the next one goes to viewers: theirs is not old because the run is slow.
LONGEST_NS = 500_000_000


class Throttle:
    """Which results go to viewers: all of them where processors suffice, else every second, third ...

    A browser on the node's own machine, and the encoding for it, would otherwise take their processor time from
    inference. One viewer's pictures cost as much as many viewers': the pace is that of all.
    """

    def __init__(self) -> None:
        #: Viewers get every n-th picture.
        self.every = 1
        self._number = self._infer = self._waited = self._calm = self._given_ns = 0

    def admits(self, timeline: Timeline) -> bool:
        """Whether this result goes to viewers. Called for every result while somebody watches."""
        self._number += 1
        self._infer += sum(span.end - span.start for span in timeline.spans if span.name == "infer")
        self._waited += timeline.waited
        if self._number % LOOK == 0:
            self._look(self._waited / max(1, self._infer))
            self._infer = self._waited = 0
        given = self._number % self.every == 0 or timeline.end - self._given_ns >= LONGEST_NS
        if given:
            self._given_ns = timeline.end
        return given

    def _look(self, share: float) -> None:
        self._calm = self._calm + 1 if share < LITTLE else 0
        if share > TOO_MUCH:
            self.every = min(RAREST, self.every + 1)
        elif self._calm >= CALM:
            self.every, self._calm = max(1, self.every - 1), 0
