"""Sinks that must be served in the main thread, such as windows, for runs that are in other threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from drivenet.errors import SinkError
from drivenet.frame import Image
from drivenet.health import Event, Health
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink


class _Call:
    """Something that the main thread is to do for another one, which waits for it."""

    def __init__(self, sink: Sink, act: Callable[[Sink], object]) -> None:
        self.sink, self.act = sink, act
        self.done = threading.Event()
        self.answer: object = None
        self.error: BaseException | None = None


class MainThread:
    """Does for other threads what only the main one may do."""

    #: The sink that it serves just now.
    serving: Sink | None = None

    def __init__(self) -> None:
        self._calls: queue.Queue[_Call] = queue.Queue()
        self._ended = False

    def served(self, sink: Sink) -> Sink:
        """A sink that may be called from any thread; the given one unless it must be called from the main one."""
        return _Served(sink, self) if sink.main_thread else sink

    def serve(self, timeout_s: float) -> None:
        """Do one thing that waits, or wait so long for one."""
        try:
            call = self._calls.get(timeout=timeout_s)
        except queue.Empty:
            return
        self.serving = call.sink
        try:
            call.answer = call.act(call.sink)
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            call.error = error
        finally:
            self.serving = None
            call.done.set()

    def end(self) -> None:
        """Nothing is done any more; who waits is told."""
        self._ended = True
        while not self._calls.empty():
            call = self._calls.get()
            call.error = SinkError(f"{call.sink.name}: the run has ended")
            call.done.set()

    def call(self, sink: Sink, act: Callable[[Sink], object]) -> object:
        """Have something done, and wait for it; its answer. Raises what it raised."""
        if self._ended:
            raise SinkError(f"{sink.name}: the run has ended")
        call = _Call(sink, act)
        self._calls.put(call)
        call.done.wait()
        if call.error is not None:
            raise call.error
        return call.answer


class _Served(Sink):
    """Stands for a sink of the main thread."""

    def __init__(self, sink: Sink, main: MainThread) -> None:
        self._sink, self._main = sink, main
        self.name, self.target, self.needs_view = sink.name, sink.target, sink.needs_view
        self.records, self.overflow, self.wants_times = sink.records, sink.overflow, sink.wants_times

    def __getattribute__(self, name: str) -> Any:
        return self._sink.stop_requested if name == "stop_requested" else super().__getattribute__(name)

    def publish(self, result: Result) -> bool | None:
        """See :meth:`Sink.publish`; so for all below."""
        taken = self._main.call(self._sink, lambda sink: sink.publish(result))
        return None if taken is None else bool(taken)

    def settled(self, result: Result) -> None:
        """Passed on."""
        self._main.call(self._sink, lambda sink: sink.settled(result))

    def health(self, health: Health) -> None:
        """Passed on."""
        self._main.call(self._sink, lambda sink: sink.health(health))

    def event(self, event: Event) -> None:
        """Passed on."""
        self._main.call(self._sink, lambda sink: sink.event(event))

    def marked(self, view: Image, health: Health) -> bool:
        """Passed on."""
        return bool(self._main.call(self._sink, lambda sink: sink.marked(view, health)))

    def status(self, totals: Totals) -> None:
        """Passed on."""
        self._main.call(self._sink, lambda sink: sink.status(totals))

    def close(self, totals: Totals) -> None:
        """Passed on."""
        self._main.call(self._sink, lambda sink: sink.close(totals))
