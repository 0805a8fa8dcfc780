"""How much a node takes on: fewer frames, then a smaller input, where it would be later than it may be."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivenet.latency import Timeline

#: What is judged: the frames of the last seconds, and at least so many.
WINDOW_S, LEAST_FRAMES = 5.0, 10
#: Seconds between two steps down: frames come by what changed soon, a hot machine takes longer to cool.
SETTLE_S, COOL_S = 1.0, 10.0
#: It takes on more again when p90 was below this part of the budget for so long; after a step that was too much, for
#: twice as long, and so on up to the longest.
CALM, CALM_S, LONGEST_CALM_S = 0.6, 10.0, 320.0
#: A step up that is taken back within so many seconds was too much.
TOO_MUCH_S = 30.0
#: Every second and every third frame, each also with the smaller input.
STRIDES = (1, 2, 3)


@dataclass(frozen=True)
class Step:
    """What is processed.

    Args:
        stride: every so many-th frame of the source.
        engine: by the first engine (0) or the smaller one (1).
    """

    stride: int = 1
    engine: int = 0

    def __str__(self) -> str:
        frames = {1: "every frame", 2: "every second frame", 3: "every third frame"}[self.stride]
        return f"{frames} with the smaller input" if self.engine else frames


def ladder(engines: int) -> tuple[Step, ...]:
    """All steps for one engine or two, from the best picture to the least work.

    >>> [str(step) for step in ladder(2)][2:4]
    ['every third frame', 'every frame with the smaller input']
    """
    return tuple(Step(stride, engine) for engine in range(engines) for stride in STRIDES)


class Budget:
    """Steps down when p90 from capture to the last output is over a budget or the machine throttles, and up again when
    it was well below for a while. Any thread may tell it of frames; one asks it to decide.

    Args:
        budget_ms: what p90 may be.
        steps: from the best to the least, see :func:`ladder`.
        throttles: whether the machine slows itself down just now.
    """

    def __init__(
        self, budget_ms: float, steps: Sequence[Step] = ladder(1), throttles: Callable[[], bool] = lambda: False
    ) -> None:
        self.budget_ms, self._steps, self._throttles = budget_ms, tuple(steps), throttles
        self._lock = threading.Lock()
        self._seen: deque[tuple[int, float]] = deque()
        self._at = 0
        self._changed_ns = self._risen_ns = -(1 << 62)
        self._calm_since_ns: int | None = None
        self._calm_s = CALM_S

    @property
    def step(self) -> Step:
        """What is processed now."""
        return self._steps[self._at]

    def passes_over(self, index: int) -> bool:
        """Whether a frame of that number is left out."""
        return index % self.step.stride != 0

    def see(self, timeline: Timeline) -> None:
        """A frame was published."""
        with self._lock:
            if timeline.captured >= self._changed_ns:
                self._seen.append((timeline.end, timeline.end_to_end_ms()))

    def decide(self, now_ns: int) -> str:
        """Step down or up where that is due, and say so in words; empty where nothing changes."""
        p90 = self._p90(now_ns)
        throttled = self._throttles()
        if p90 is None and not throttled:
            return ""
        if throttled or (p90 is not None and p90 > self.budget_ms):
            self._calm_since_ns = None
            why = (
                "the machine throttles" if throttled else f"p90 is {p90:.0f} ms, over the budget of {self.budget_ms:g}"
            )
            return self._down(why, now_ns, COOL_S if throttled else SETTLE_S)
        if p90 is None or p90 > CALM * self.budget_ms or not self._at:
            self._calm_since_ns = None
            return ""
        self._calm_since_ns = self._calm_since_ns or now_ns
        if (now_ns - self._calm_since_ns) / 1e9 < self._calm_s:
            return ""
        return self._up(f"p90 is {p90:.0f} ms, well within the budget of {self.budget_ms:g}", now_ns)

    def _p90(self, now_ns: int) -> float | None:
        """Of the last seconds, by frames that were captured since the last change; None for too few."""
        with self._lock:
            while len(self._seen) > LEAST_FRAMES and now_ns - self._seen[0][0] > WINDOW_S * 1e9:
                self._seen.popleft()
            times = sorted(ms for _, ms in self._seen)
        if len(times) < LEAST_FRAMES:
            return None
        return times[math.ceil(0.9 * len(times)) - 1]

    def _down(self, why: str, now_ns: int, settle_s: float) -> str:
        settled = (now_ns - self._changed_ns) / 1e9 >= settle_s
        if self._at + 1 == len(self._steps) or not settled:
            return ""
        if (now_ns - self._risen_ns) / 1e9 < TOO_MUCH_S:
            self._calm_s = min(2 * self._calm_s, LONGEST_CALM_S)
            self._risen_ns = -(1 << 62)
        return self._go(self._at + 1, why, now_ns)

    def _up(self, why: str, now_ns: int) -> str:
        if (now_ns - self._risen_ns) / 1e9 >= TOO_MUCH_S and self._risen_ns > 0:
            self._calm_s = CALM_S  # the last step up has lasted
        self._risen_ns = now_ns
        return self._go(self._at - 1, why, now_ns)

    def _go(self, to: int, why: str, now_ns: int) -> str:
        with self._lock:
            self._at, self._changed_ns, self._calm_since_ns = to, now_ns, None
            self._seen.clear()
        return f"{why}: {self.step}"
