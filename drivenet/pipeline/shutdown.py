"""The end of a run: everything is closed within bounds, and every frame is accounted for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from drivenet.errors import SinkError
from drivenet.latency import now_ns
from drivenet.pipeline.accounting import FrameAccounting
from drivenet.pipeline.deadlines import ShutdownDeadlines
from drivenet.pipeline.dispatcher import SinkDispatcher
from drivenet.pipeline.mailbox import Mailbox
from drivenet.pipeline.state import RunControl, RunState
from drivenet.result import Totals
from drivenet.sources.base import Source

#: From the stop to giving up on a thread: longer than most inferences, with time left to close the sinks in 3 s.
_JOIN_NS = 1_500_000_000
_LEAST_JOIN_NS = 200_000_000


class Shutdown:
    """Used once, by the thread that runs the pipeline, in the order of its methods.

    Args:
        control: of the run; it is DRAINING and then STOPPING here.
        dispatcher: of its sinks.
        accounting: where frames are booked out that nobody will see.
        failed: told of every error.
    """

    def __init__(
        self, control: RunControl, dispatcher: SinkDispatcher, accounting: FrameAccounting,
        failed: Callable[[BaseException], None],
    ) -> None:  # fmt: skip
        self._control, self._dispatcher, self._accounting, self._failed = control, dispatcher, accounting, failed
        self._complete = False
        self._deadlines = ShutdownDeadlines(lambda: control.stopped_ns, self._must_wait)

    def drain(self, source: Source, mailboxes: Sequence[Mailbox[Any]], *, complete: bool) -> None:
        """Close the source, and let the sinks have what is still theirs to take.

        Args:
            source: of the run.
            mailboxes: what waits in them is booked as ``stopped``.
            complete: whether all frames were handed to the sinks; otherwise timed sinks get nothing more.
        """
        self._complete = complete
        if complete:
            self._control.phase = RunState.DRAINING
        else:
            self._dispatcher.halt()
        self.attempt(source.close)
        self._accounting.dropped("stopped", sum(len(mailbox.clear()) for mailbox in mailboxes))
        if complete:
            self._dispatcher.attend(self._is_drained, self._deadlines.over("work"))
        self._control.phase = RunState.STOPPING
        self._dispatcher.halt()

    def join(self, threads: Sequence[threading.Thread]) -> bool:
        """Whether all threads have ended, or do so in time."""
        until = max((self._control.stopped_ns or now_ns()) + _JOIN_NS, now_ns() + _LEAST_JOIN_NS)
        started = [thread for thread in threads if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, (until - now_ns()) / 1e9))
        return not any(thread.is_alive() for thread in started)

    def close_sinks(self, totals: Callable[[], Totals], *, stuck: bool) -> Totals:
        """Close the books and the sinks; the final totals.

        Args:
            totals: gives the counts so far.
            stuck: whether a thread that did not end still holds a frame.
        """
        self._settle(stuck)
        final = totals()
        for queue in self._dispatcher.close(final, self._deadlines.over("close")):
            of = f"cannot write {queue.sink.target}" if queue.sink.target else queue.name
            self._failed(SinkError(f"{of}: it does not return, and was left behind at the end of the run"))
        return final

    def attempt(self, close: Callable[[], None]) -> None:
        """Close something; its error is kept."""
        try:
            close()
        except Exception as error:  # noqa: BLE001 - raised by run
            self._failed(error)

    def _settle(self, stuck: bool) -> None:
        """Close the books over what the sinks do not finish in time."""
        self._dispatcher.attend(self._dispatcher.idle, self._deadlines.over("work"))
        self._dispatcher.settle()
        self._dispatcher.attend(lambda: self._dispatcher.idle(recorders=True), self._deadlines.over("record"))
        self._dispatcher.settle(recorders=True)
        if stuck:
            self._accounting.settle()

    def _is_drained(self) -> bool:
        return self._control.ending or self._dispatcher.idle()

    def _must_wait(self) -> bool:
        return self._complete and self._dispatcher.must_wait()
