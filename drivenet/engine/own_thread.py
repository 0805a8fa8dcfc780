"""A thread that all calls of one engine come from, for libraries that keep something for each thread that calls."""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from drivenet.at_work import AT_WORK
from drivenet.engine.base import Engine
from drivenet.engine.checks import warm_up
from drivenet.errors import EngineError

T = TypeVar("T")


class _Call(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[object, ...]
    #: Takes what it returned, or what it raised.
    outcome: SimpleQueue[tuple[Any, BaseException | None]]


class OwnThread:
    """Runs what it is given, one after the other. Any thread may call, until the interpreter ends.

    It ends with :meth:`end`, or with this object, after what :meth:`leave` was given.

    Args:
        name: of the thread, for debuggers.
        where: how messages name the engine.
    """

    def __init__(self, name: str, where: str) -> None:
        self._where = where
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._open, self._ended = threading.Lock(), False
        self._last: list[Callable[[], object]] = []
        weakref.finalize(self, _end, self._calls, self._last).atexit = False
        self._thread = threading.Thread(target=_work, args=(self._calls,), name=name, daemon=True)
        self._thread.start()
        #: The system's number of the thread.
        self.number = self._thread.native_id

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """What the function returns or raises there; EngineError if the thread is gone, as it is after a fork."""
        if sys.is_finalizing():  # the thread is never heard of again
            raise EngineError(f"{self._where} is asked for something while the interpreter ends")
        with AT_WORK.on(self._where):
            result: T = _result(self._asked(_Call(function, arguments, SimpleQueue())))
        return result

    def _asked(self, call: _Call) -> _Call:
        with self._open:
            if self._ended:
                raise EngineError(f"{self._where} is closed", cure="open the engine again")
            if not self._thread.is_alive():
                raise EngineError(f"{self._where} was opened by another process", cure="open it in this one")
            self._calls.put(call)
        return call

    def leave(self, last: Callable[[], object]) -> None:
        """Have a function called there last if this object goes without :meth:`end`; it must not hold this object."""
        self._last[:] = [last]

    def end(self, last: Callable[[], object]) -> None:
        """Call a last function, also when another call was given up in the middle, and end. Again does nothing."""
        if sys.is_finalizing():
            return
        call = _Call(last, (), SimpleQueue())
        with self._open:
            if self._ended or not self._thread.is_alive():
                return
            self._ended = True
            self._last.clear()
            self._calls.put(call)
            self._calls.put(None)
        try:
            _result(call)
        finally:
            self._thread.join()


def _end(calls: SimpleQueue[_Call | None], last: list[Callable[[], object]]) -> None:
    for function in last:
        calls.put(_Call(function, (), SimpleQueue()))
    calls.put(None)


def _result(call: _Call) -> Any:
    value, error = call.outcome.get()
    if error is None:
        return value
    try:
        raise error
    finally:
        del error  # else it would hold this frame, and this frame it


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        with AT_WORK.for_another():
            try:
                call.outcome.put((call.function(*call.arguments), None))
            except BaseException as error:  # noqa: BLE001 - raised where it was called for
                call.outcome.put((None, error))
        del call  # nothing of it is held while there is nothing to do


class ThreadedEngine(Engine):
    """An engine whose network is loaded, run and released by a thread of its own, so that any thread may call."""

    def _start(self, load: Callable[[], None]) -> None:
        """Load the network there and try it; what was loaded is released again if that fails or is interrupted."""
        self._own = OwnThread(self.backend, self.file)
        self.worker = self._own.number
        try:
            self._own.call(load)
            warm_up(self)
        except BaseException:
            with contextlib.suppress(EngineError):  # what went wrong first is what counts
                self.close()
            raise

    def _release(self) -> None:
        """Let go of what was loaded, if it was; called there."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the network and its thread."""
        self._own.end(self._release)
