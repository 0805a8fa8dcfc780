"""Who serves the sinks: a thread for each, and the caller's for those that ask for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from drivenet.errors import SinkError
from drivenet.latency import now_ns
from drivenet.pipeline.ledger import Ledger
from drivenet.pipeline.settlement import Settlement, Turn
from drivenet.pipeline.worker import Worker, unique
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sinks.priority import step_back

#: How often those who wait look whether their time is up; a signal handler can wake nobody.
_TICK_S = 0.1
_JOIN_S = 1.0


class Crew:
    """Hands results to sinks, first to those that are timed, then to those that record the times.

    A sink that is slow or hangs delays none of the others. Only a sink that blocks, under the policy ``every``,
    makes :meth:`ready` wait.

    Args:
        sinks: all of them.
        policy: of the run.
        ledger: is told what becomes of each frame, at each sink and at all.
        failed: told of every error that a sink raises, from the thread that serves it.
    """

    #: The sink that the caller's thread serves just now, None while it serves none.
    serving: Sink | None = None
    #: A sink failed or wants the run to end, or :meth:`halt` was called: nothing more is handed to timed sinks.
    halted = False

    def __init__(
        self, sinks: Sequence[Sink], policy: str, ledger: Ledger, failed: Callable[[BaseException], None]
    ) -> None:
        lock = threading.Lock()
        self._room, self._here = threading.Condition(lock), threading.Condition(lock)
        self._lock, self._failed = lock, failed
        self._workers = [
            Worker(sink, name, policy, self._here if sink.main_thread else threading.Condition(lock))
            for sink, name in zip(sinks, unique(s.name for s in sinks), strict=True)
        ]
        self._timed = [w for w in self._workers if not w.sink.records]
        self._recorders = [w for w in self._workers if w.sink.records]
        for worker in self._workers:
            ledger.enlist(worker.name)
        self._settlement = Settlement(ledger, [w.name for w in self._timed], self._record)

    @property
    def stop_requested(self) -> bool:
        """Whether a sink wants the run to end."""
        return any(w.sink.stop_requested for w in self._workers)

    def start(self) -> None:
        """Start the threads; a sink whose thread does not start is served by the caller's."""
        for worker in self._workers:
            if not worker.sink.main_thread:
                name = f"sink {worker.name}"
                worker.thread = threading.Thread(target=self._work, args=(worker,), name=name, daemon=True)
                try:
                    worker.thread.start()
                except RuntimeError:  # the system has no more threads
                    worker.thread = None
                    raise

    def ready(self, timeout_s: float) -> bool:
        """Whether a result should be made and handed on now; waits so long for it.

        The sinks that block must have room. If none does, one of the others must have nothing to do, so that
        the engine does not work for frames that nobody takes: the quickest sink sets the pace.
        """
        with self._lock:
            return self._room.wait_for(self._is_ready, timeout_s)

    def hand(self, result: Result) -> None:
        """Give a result to every timed sink; it is settled from then on."""
        with self._lock:
            turn = self._settlement.begin(result)
            for worker in self._timed:
                self._offer(worker, turn, closed=self.halted)

    def tell(self, kind: str, act: Callable[[Sink], None]) -> None:
        """Tell every sink something, in its thread and after the results that it has waiting."""
        with self._lock:
            for worker in self._workers:
                if not (worker.failed or self.halted):
                    worker.tell(kind, act)

    def attend(self, done: Callable[[], bool], time_is_up: Callable[[], bool] = lambda: False) -> bool:
        """Serve the sinks of the caller's thread, until something is so or it is too late for it; whether it is so.

        Both are asked under the crew's lock.
        """
        mine = deque(w for w in self._workers if w.thread is None)
        while True:
            with self._lock:
                if done():
                    return True
                if time_is_up():
                    return False
                worker = next((w for w in mine if w.waiting), None)
                if worker is None:
                    self._here.wait(_TICK_S)
                    continue
                worker.take()
            self._serve(worker)
            mine.rotate(-1)

    def wake(self) -> None:
        """Make :meth:`attend` look again whether it is done."""
        with self._lock:
            self._here.notify_all()

    def idle(self, *, recorders: bool = False) -> bool:
        """Whether the timed sinks, or those that record, have nothing to do. Under the lock."""
        return all(w.idle for w in (self._recorders if recorders else self._timed))

    def must_wait(self) -> bool:
        """Whether a sink that loses nothing still has something to do. Under the lock."""
        return any(w.blocks and not w.idle for w in self._workers)

    def halt(self) -> None:
        """Take back what waits for timed sinks; they finish what they are at."""
        with self._lock:
            self._halt()

    def settle(self, *, recorders: bool = False) -> None:
        """Close the books of the timed sinks, or of those that record: whoever is still at it is not waited for."""
        with self._lock:
            for worker in self._recorders if recorders else self._timed:
                left = worker.clear()
                if worker.task and worker.task.turn:
                    left.append(worker.task.turn)
                for turn in left:
                    self._settlement.book(turn, worker.name, "stopped")

    def close(self, totals: Totals, time_is_up: Callable[[], bool]) -> list[Worker]:
        """Close every sink in its thread; those that have not ended in time."""
        with self._lock:
            for worker in self._workers:
                worker.tell("close", lambda sink: sink.close(totals))
        self.attend(lambda: all(w.ended for w in self._workers), time_is_up)
        late = [w for w in self._workers if not w.ended]
        for worker in self._workers:
            if worker.thread and worker not in late:
                worker.thread.join(_JOIN_S)
        return late

    def _is_ready(self) -> bool:
        held = len(self._settlement)
        if not all(w.has_room(held if w.sink.records else 0) for w in self._workers if w.blocks):
            return False
        return not self._timed or any(w.blocks or w.idle for w in self._timed)

    def _record(self, result: Result) -> None:
        for worker in self._recorders:
            self._offer(worker, Turn(result, {worker.name}), closed=False)

    def _offer(self, worker: Worker, turn: Turn, *, closed: bool) -> None:
        if closed or worker.failed:
            self._settlement.book(turn, worker.name, "stopped")
        elif oldest := worker.offer(turn):
            self._settlement.book(oldest, worker.name, "dropped")

    def _halt(self) -> None:
        self.halted = True
        for worker in self._timed:
            for turn in worker.clear():
                self._settlement.book(turn, worker.name, "stopped")
        self._room.notify_all()
        self._here.notify_all()

    def _work(self, worker: Worker) -> None:
        """A sink's thread, to its closing."""
        step_back()
        while not worker.ended:
            with self._lock:
                worker.changed.wait_for(lambda: worker.waiting)
                worker.take()
            self._serve(worker)

    def _serve(self, worker: Worker) -> None:
        """Let a sink do what it has to, and book what came of it."""
        task = worker.task
        assert task is not None
        error = self._act(worker, task.act)
        at_ns = now_ns()
        wishes: list[bool] = []
        asked = self._act(worker, lambda sink: wishes.append(sink.stop_requested))
        with self._lock:
            worker.done()
            if task.turn:
                self._settlement.book(task.turn, worker.name, "failed" if error else "published", at_ns)
            if failure := error or asked:
                self._fail(worker, failure)
            if (failure or any(wishes)) and not self.halted:
                self._halt()
            self._room.notify_all()
            self._here.notify_all()

    def _act(self, worker: Worker, act: Callable[[Sink], None]) -> BaseException | None:
        """What a sink raised, None if it did as it should."""
        try:
            if worker.thread is None:
                self._act_here(worker.sink, act)
            else:
                act(worker.sink)
        except OSError as error:
            said = SinkError(f"{worker.name}: {error.strerror or error}")
            said.__cause__ = error
            return said
        except BaseException as error:  # noqa: BLE001 - raised at the end of the run
            return error
        return None

    def _act_here(self, sink: Sink, act: Callable[[Sink], None]) -> None:
        self.serving = sink
        try:
            act(sink)
        finally:
            self.serving = None

    def _fail(self, worker: Worker, error: BaseException) -> None:
        worker.failed = True
        self._failed(error)
        for turn in worker.clear():
            self._settlement.book(turn, worker.name, "stopped")
