"""Sources, engines and sinks that fail, wait or stop exactly when a test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from drivenet.classmap import Ids
from drivenet.engine.null import NullEngine
from drivenet.errors import EngineError, SinkError, SourceLostError
from drivenet.frame import Frame, Image
from drivenet.health import Event, Health
from drivenet.latency import now_ns
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sources.base import Source

#: Bound on waiting for what must happen; only a hanging test gets there.
LONG_S = 60.0
SIZE = (48, 64)


class Drive(Source):
    """Gives ``count`` frames, as fast as they are taken or when ``gate`` says, then ends, fails or falls silent."""

    name = "drive"

    def __init__(
        self, count: int, then: str = "end", *, live: bool = False, gate: Callable[[int], object] = lambda _: None
    ) -> None:
        self.count, self.then, self.live, self.gate = count, then, live, gate
        self.fps, self.frames, self.size = 30.0, count, SIZE
        self.closed = threading.Event()
        self.times_closed = 0

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            self.gate(index)
            yield Frame(np.full((*SIZE, 3), index % 256, np.uint8), index, now_ns())
        if self.then == "silence":
            self.closed.wait(LONG_S)
        if self.then == "fail":
            raise SourceLostError("drive failed")

    def close(self) -> None:
        self.times_closed += 1
        self.closed.set()


class Engine(NullEngine):
    """The null engine, which fails at its n-th inference or waits before each."""

    def __init__(
        self, fail_at: int | None = None, wait: Callable[[int], object] = lambda _: None, file: Path | None = None
    ) -> None:
        super().__init__(file)
        self.fail_at, self.wait = fail_at, wait
        self.calls = self.times_closed = 0

    def infer(self, image: Image) -> Ids:
        call, self.calls = self.calls, self.calls + 1
        self.wait(call)
        if call == self.fail_at:
            raise EngineError("engine failed")
        return super().infer(image)

    def close(self) -> None:
        self.times_closed += 1
        super().close()


class Keeper(Sink):
    """Keeps what it is given, and fails, stops or waits at its n-th result."""

    needs_view = False

    def __init__(
        self, name: str = "keeper", *, fail_at: int | None = None, stop_at: int | None = None,
        on_publish: Callable[[int], object] = lambda _: None, fail_close: Exception | None = None,
        records: bool = False, needs_view: bool = False, overflow: Literal["block", "drop"] = "block",
        main_thread: bool = False,
    ) -> None:  # fmt: skip
        self.overflow, self.main_thread = overflow, main_thread
        self.name, self.records, self.needs_view = name, records, needs_view
        self.fail_at, self.stop_at, self.on_publish, self.fail_close = fail_at, stop_at, on_publish, fail_close
        self.results: list[Result] = []
        self.marked_views: list[tuple[Image, Health]] = []
        self.healths: list[Health] = []
        self.events: list[Event] = []
        self.statuses: list[Totals] = []
        self.totals: list[Totals] = []
        self.threads: set[str] = set()
        self.found, self.lost_told, self.over = threading.Event(), threading.Event(), threading.Event()

    def publish(self, result: Result) -> None:
        self._called()
        call = len(self.results)
        self.on_publish(call)
        if call == self.fail_at:
            raise SinkError(f"{self.name} failed")
        self.results.append(result)
        self.found.set()
        if call == self.stop_at:
            self.stop_requested = True

    def health(self, health: Health) -> None:
        self._called()
        self.healths.append(health)
        if health.state == "lost":
            self.lost_told.set()

    def event(self, event: Event) -> None:
        self._called()
        self.events.append(event)

    def marked(self, view: Image, health: Health) -> None:
        self._called()
        self.marked_views.append((view, health))

    def status(self, totals: Totals) -> None:
        self._called()
        self.statuses.append(totals)

    def close(self, totals: Totals) -> None:
        self._called()
        self.totals.append(totals)
        self.over.set()
        if self.fail_close:
            raise self.fail_close

    def _called(self) -> None:
        assert not self.totals, "nothing comes after the closing"
        self.threads.add(threading.current_thread().name)

    @property
    def indices(self) -> list[int]:
        """Of the frames it was given."""
        return [r.frame.index for r in self.results]


def exact(totals: Totals) -> bool:
    """Whether the books balance."""
    return totals.captured == totals.published + sum(totals.dropped.values())


def fair(totals: Totals, sinks: Sequence[Keeper]) -> bool:
    """Whether each sink's counts tell what it was given, and account for all frames that were meant for it."""
    assert set(totals.sinks) == {s.name for s in sinks}
    for sink in sinks:
        assert totals.sinks[sink.name]["published"] == len(sink.results), (sink.name, totals)
        assert sink.indices == sorted(set(sink.indices)), "in order, and none twice"
    timed = {sum(totals.sinks[s.name].values()) for s in sinks if not s.records}
    recorded = {sum(totals.sinks[s.name].values()) for s in sinks if s.records}
    assert recorded <= {totals.published}
    return len(timed) <= 1 and all(n >= totals.published for n in timed)
