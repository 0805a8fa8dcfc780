"""Who serves the sinks: a thread for each, and the caller's for those that ask for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from drivenet.errors import SinkError, wrapped
from drivenet.latency import now_ns
from drivenet.pipeline.accounting import FrameAccounting
from drivenet.pipeline.delivery import Delivery, DeliveryTracker
from drivenet.pipeline.sink_queue import SinkQueue, unique
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, SinkAwayError
from drivenet.sinks.priority import step_back

#: How often those who wait look whether their time is up; a signal handler can wake nobody.
_TICK_S = 0.1
_JOIN_S = 1.0
#: An offline run all of whose outputs are away tries them with a frame every so many seconds, and ends after so many: a
#: broker or a server that is back within 30 s was found by then, at the waits between attempts.
_TRY_S, _PATIENCE_S = 0.5, 35.0


class SinkDispatcher:
    """Hands results to sinks, first to those that are timed, then to those that record the times.

    A sink that is slow or hangs delays none of the others. Only a sink that blocks, under the policy ``every``,
    makes :meth:`ready` wait.

    Args:
        sinks: all of them.
        policy: of the run.
        accounting: is told what becomes of each frame, at each sink and at all.
        failed: told of every error that a sink raises, from the thread that serves it.
        away: told of a sink that is tried again, and with None when it works again.
    """

    #: The sink that the caller's thread serves just now, None while it serves none.
    serving: Sink | None = None
    #: A sink failed or wants the run to end, or :meth:`halt` was called: nothing more is handed to timed sinks.
    halted = False
    _closing = False
    _handed_ns = 0

    def __init__(
        self, sinks: Sequence[Sink], policy: str, accounting: FrameAccounting, failed: Callable[[BaseException], None],
        away: Callable[[str, SinkAwayError | None], None] = lambda *_: None,
    ) -> None:  # fmt: skip
        lock = threading.Lock()
        self._room, self._here = threading.Condition(lock), threading.Condition(lock)
        self._lock, self._failed, self._away, self._accounting = lock, failed, away, accounting
        self._offline = policy == "every"
        self._queues = [
            SinkQueue(sink, name, policy, self._here if sink.main_thread else threading.Condition(lock))
            for sink, name in zip(sinks, unique(s.name for s in sinks), strict=True)
        ]
        self._timed = [w for w in self._queues if not w.sink.records]
        self._recorders = [w for w in self._queues if w.sink.records]
        for queue in self._queues:
            accounting.enlist(queue.name)
        self._tracker = DeliveryTracker(accounting, [w.name for w in self._timed], self._record)

    @property
    def stop_requested(self) -> bool:
        """Whether a sink wants the run to end; raises SinkError for one that cannot say."""
        for queue in self._queues:
            try:
                if queue.sink.stop_requested:
                    return True
            except Exception as error:  # noqa: BLE001 - raised again
                ours = wrapped(SinkError, queue.name, error)
                raise ours from ours.__cause__
        return False

    def start(self) -> None:
        """Start the threads; a sink whose thread does not start is served by the caller's."""
        for queue in self._queues:
            if not queue.sink.main_thread:
                name = f"sink {queue.name}"
                queue.thread = threading.Thread(target=self._work, args=(queue,), name=name, daemon=True)
                try:
                    queue.thread.start()
                except RuntimeError:  # the system has no more threads
                    queue.thread = None
                    raise

    def ready(self, timeout_s: float) -> bool:
        """Whether a result should be made and handed on now; waits so long for it.

        The sinks that block must have room. If none does, one of the others must have nothing to do, so that
        the engine does not work for frames that nobody takes: the quickest sink sets the pace. An offline run has
        time: where all are away, it hands on no more than what shows whether one is back.
        """
        with self._lock:
            return self._room.wait_for(self._is_ready, timeout_s)

    def hand(self, result: Result) -> None:
        """Give a result to every timed sink; it is settled from then on."""
        with self._lock:
            self._handed_ns = now_ns()
            delivery = self._tracker.begin(result)
            for queue in self._timed:
                self._offer(queue, delivery, closed=self.halted)

    def tell(self, kind: str, act: Callable[[Sink], bool | None], *, always: bool = False) -> None:
        """Tell every sink something, in its thread and after the results that it has waiting.

        Args:
            kind: of what is told; see :class:`~drivenet.pipeline.sink_queue.Task`.
            act: tells it.
            always: also after :meth:`halt`, until the sinks are closed.
        """
        with self._lock:
            for queue in self._queues:
                if not (queue.failed or self._closing or (self.halted and not always)):
                    queue.tell(kind, act)

    def attend(self, done: Callable[[], bool], time_is_up: Callable[[], bool] = lambda: False) -> bool:
        """Serve the sinks of the caller's thread, until something is so or it is too late for it; whether it is so.

        Both are asked under the dispatcher's lock.
        """
        mine = deque(w for w in self._queues if w.thread is None)
        while True:
            with self._lock:
                if done():
                    return True
                if time_is_up():
                    return False
                queue = next((w for w in mine if w.waiting), None)
                if queue is None:
                    self._here.wait(_TICK_S)
                    continue
                queue.take()
            self._serve(queue)
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
        return any(w.blocks and not w.idle for w in self._queues)

    def halt(self) -> None:
        """Take back what waits for timed sinks; they finish what they are at."""
        with self._lock:
            self._halt()

    def settle(self, *, recorders: bool = False) -> None:
        """Close the books of the timed sinks, or of those that record: whoever is still at it is not waited for."""
        with self._lock:
            for queue in self._recorders if recorders else self._timed:
                left = queue.clear()
                if queue.task and queue.task.delivery:
                    left.append(queue.task.delivery)
                for delivery in left:
                    self._tracker.book(delivery, queue.name, "stopped")

    def close(self, totals: Totals, time_is_up: Callable[[], bool]) -> list[SinkQueue]:
        """Close every sink in its thread; those that have not ended in time."""
        with self._lock:
            self._closing = True
            for queue in self._queues:
                queue.tell("close", lambda sink: sink.close(totals))
        self.attend(lambda: all(w.ended for w in self._queues), time_is_up)
        late = [w for w in self._queues if not w.ended]
        for queue in self._queues:
            if queue.thread and queue not in late:
                queue.thread.join(_JOIN_S)
        return late

    def _is_ready(self) -> bool:
        if self._offline and self._all_away() and now_ns() - self._handed_ns < _TRY_S * 1e9:
            return False
        held = len(self._tracker)
        if not all(w.has_room(held if w.sink.records else 0) for w in self._queues if w.blocks):
            return False
        return not self._timed or any(w.blocks or w.idle for w in self._timed)

    def _all_away(self) -> bool:
        return bool(self._queues) and all(w.failed or w.away_ns for w in self._queues)

    def _record(self, result: Result) -> None:
        for queue in self._recorders:
            self._offer(queue, Delivery(result, {queue.name}), closed=False)
        for queue in self._timed:
            if queue.sink.wants_times and not queue.failed:
                queue.tell("settled", lambda sink: sink.settled(result))

    def _offer(self, queue: SinkQueue, delivery: Delivery, *, closed: bool) -> None:
        if closed or queue.failed:
            self._tracker.book(delivery, queue.name, "stopped")
        elif oldest := queue.offer(delivery):
            self._tracker.book(oldest, queue.name, "dropped")

    def _halt(self) -> None:
        self.halted = True
        for queue in self._timed:
            for delivery in queue.clear():
                self._tracker.book(delivery, queue.name, "stopped")
        self._room.notify_all()
        self._here.notify_all()

    def _work(self, queue: SinkQueue) -> None:
        """A sink's thread, to its closing."""
        step_back()
        while not queue.ended:
            with self._lock:
                queue.changed.wait_for(lambda: queue.waiting)
                queue.take()
            self._serve(queue)

    def _serve(self, queue: SinkQueue) -> None:
        """Let a sink do what it has to, and book what came of it."""
        task = queue.task
        assert task is not None
        told: list[bool | None] = []
        error = self._act(queue, lambda sink: told.append(task.act(sink)))
        at_ns = now_ns()
        wishes: list[bool] = []
        asked = self._act(queue, lambda sink: wishes.append(sink.stop_requested))
        with self._lock:
            queue.done()
            if task.delivery:
                left_out = told == [False]
                self._tracker.book(
                    task.delivery, queue.name, "failed" if error else "dropped" if left_out else "published", at_ns
                )
            if task.kind == "marked" and any(told):
                self._accounting.served(queue.name, "marked")
            failure = error or asked
            if isinstance(failure, SinkAwayError) or (queue.away_ns and task.delivery):
                failure = self._note_away(queue, failure)
            elif failure:
                self._fail(queue, failure)
            if (failure or any(wishes)) and not self.halted:
                self._halt()
            self._room.notify_all()
            self._here.notify_all()
        del error, asked, failure  # their tracebacks hold this call, and with it the frame, until the collector comes

    def _act(self, queue: SinkQueue, act: Callable[[Sink], None]) -> BaseException | None:
        """What a sink raised, None if it did as it should."""
        try:
            if queue.thread is None:
                self._act_here(queue.sink, act)
            else:
                act(queue.sink)
        except BaseException as error:  # noqa: BLE001 - raised at the end of the run
            return wrapped(SinkError, queue.name, error)
        return None

    def _act_here(self, sink: Sink, act: Callable[[Sink], None]) -> None:
        self.serving = sink
        try:
            act(sink)
        finally:
            self.serving = None

    def _note_away(self, queue: SinkQueue, failure: BaseException | None) -> BaseException | None:
        """A sink is tried again, works again, or is away for another reason; what ends the run: that nothing can be
        expected of any output.
        """
        error = failure if isinstance(failure, SinkAwayError) else None
        if bool(error) != bool(queue.away_ns):
            queue.away_ns = now_ns() if error else 0
            queue.gone = error is not None and error.for_good
        if (why := None if error is None else str(error)) != queue.why:
            queue.why = why
            self._away(queue.name, error)
        return error if all(map(self._is_given_up, self._queues)) else None

    def _is_given_up(self, queue: SinkQueue) -> bool:
        """An output that failed or is gone for good; in an offline run, which nobody watches, also a recording that is
        away, and what is live and was away for long.
        """
        if queue.failed or queue.gone or not (self._offline and queue.away_ns):
            return queue.failed or queue.gone
        return queue.blocks or now_ns() - queue.away_ns > _PATIENCE_S * 1e9

    def _fail(self, queue: SinkQueue, error: BaseException) -> None:
        queue.failed = True
        self._failed(error)
        for delivery in queue.clear():
            self._tracker.book(delivery, queue.name, "stopped")
