"""A thread that all calls of one engine come from, for libraries that keep something for each thread that calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from drivenet.errors import EngineError

T = TypeVar("T")


class OwnThread:
    """Runs what it is given, one after the other. Any thread may call.

    Args:
        name: of the thread, for debuggers.
        where: how messages name the engine.
    """

    def __init__(self, name: str, where: str) -> None:
        self._where = where
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix=name)
        #: The system's number of the thread.
        self.number: int = self._pool.submit(threading.get_native_id).result()

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """What the function returns or raises there; EngineError if the thread has ended."""
        if self._pool is None:
            raise EngineError(f"{self._where} is closed", cure="open the engine again")
        return self._pool.submit(function, *arguments).result()

    def end(self, last: Callable[[], object]) -> None:
        """Call a last function, also when another call was given up in the middle, and end. Again does nothing."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            pool.submit(last).result()
        finally:
            pool.shutdown()
