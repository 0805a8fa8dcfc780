"""A signal ends a run although the sink that its own thread serves would never return."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from cli_parts import LONG_S

from drivenet.cli.signals import ended_by_signals
from drivenet.engine.null import NullEngine
from drivenet.errors import SinkError
from drivenet.pipeline import Pipeline
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sources import open_source


class Silent(Sink):
    """Reads from a pipe into which nobody writes."""

    name = "window"
    needs_view = False
    main_thread = True

    def __init__(self) -> None:
        self.reached, self.closed = threading.Event(), False
        self._ends = os.pipe()

    def publish(self, result: Result) -> None:
        self.reached.set()
        os.read(self._ends[0], 1)

    def close(self, totals: Totals) -> None:
        self.closed = True
        for end in self._ends:
            os.close(end)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sink_that_never_returns(number: signal.Signals) -> None:
    sink = Silent()
    pipeline = Pipeline(open_source("synthetic://96x64@30"), NullEngine(), [sink])
    sender = threading.Thread(target=lambda: sink.reached.wait(LONG_S) and os.kill(os.getpid(), number))
    sender.start()
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with ended_by_signals(pipeline), pytest.raises(SinkError, match="window: it did not end within"):
        pipeline.run()
    sender.join(LONG_S)
    assert sink.closed
    assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
