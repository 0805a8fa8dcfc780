"""Work in libraries of C++, which the interpreter's end waits for: a thread that comes back from one of them then
aborts the process.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from drivenet.errors import EngineError

#: How long the interpreter's end waits for what is at work.
_EXIT_S = 4.0


class AtWork:
    """Knows which threads are at work, and lets others than the main one begin nothing once the interpreter ends.

    Who is not let in is held until the end takes its thread too. What comes later than that gets an error.
    """

    def __init__(self) -> None:
        self._changed, self._inside, self._ending = threading.Condition(), set[int](), False

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Be at work, also in what is called meanwhile; EngineError, with ``what``, where the interpreter ends."""
        if threading.get_ident() in self._inside:
            yield
            return
        try:
            self._let_in(what)
            yield
        finally:
            self._leave()

    @contextmanager
    def for_another(self) -> Iterator[None]:
        """Be at work for a thread that was let in, and may have given up waiting."""
        try:
            self._enter()
            yield
        finally:
            self._leave()

    def end(self) -> None:
        """Let nobody in, and wait for what has begun; not for ever, since it may hang."""
        with self._changed:
            self._ending = True
            self._changed.wait_for(lambda: not self._inside, _EXIT_S)

    def _let_in(self, what: str) -> None:
        with self._changed:
            if not self._ending or threading.current_thread() is threading.main_thread():
                self._enter()
                return
        time.sleep(_EXIT_S)
        raise EngineError(f"{what} is asked for something while the interpreter ends")

    def _enter(self) -> None:
        with self._changed:
            self._inside.add(threading.get_ident())

    def _leave(self) -> None:
        with self._changed:
            self._inside.discard(threading.get_ident())
            self._changed.notify_all()

    def forget(self) -> None:
        """After a fork: other threads that were at work are those of the parent."""
        here = self._inside & {threading.get_ident()}
        self.__init__()  # type: ignore[misc]
        self._inside = here


AT_WORK = AtWork()
atexit.register(AT_WORK.end)
os.register_at_fork(after_in_child=AT_WORK.forget)
