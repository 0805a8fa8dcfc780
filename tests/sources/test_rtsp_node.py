"""Three cameras on one engine: one that is killed is lost, and the other two do not notice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from rtsp_servers import rtsp_process

from drivenet.engine.null import NullEngine
from drivenet.engine.shared import SharedEngine
from drivenet.health import Health
from drivenet.node import Node
from drivenet.pipeline import Pipeline
from drivenet.result import Result
from drivenet.sinks.base import Sink
from drivenet.sources import open_source

LONG_S, PATIENT_S = 60.0, 20.0


class Keeper(Sink):
    """Counts results and keeps states."""

    needs_view = False

    def __init__(self, name: str) -> None:
        self.name, self.count = name, 0
        self.states: list[str] = []

    def publish(self, result: Result) -> None:
        self.count += 1

    def health(self, health: Health) -> None:
        self.states.append(health.state)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_killing_one_of_three_cameras_leaves_the_others() -> None:
    with rtsp_process() as (a, _), rtsp_process() as (b, number), rtsp_process() as (c, _):
        shared, sinks = SharedEngine(NullEngine()), [Keeper(name) for name in "abc"]
        node = Node(
            {
                sink.name: Pipeline(
                    open_source(f"rtsp://127.0.0.1:{port}/live", timeout_s=PATIENT_S), shared.lend(), [sink],
                    source_id=sink.name,
                )
                for sink, port in zip(sinks, (a, b, c), strict=True)
            },
            close=shared.close,
        )  # fmt: skip
        runner = threading.Thread(target=node.run)
        runner.start()
        until(lambda: all(sink.count > 10 for sink in sinks))
        os.kill(number, signal.SIGKILL)
        until(lambda: sinks[1].states[-1] == "lost")
        before = [sink.count for sink in sinks]
        until(lambda: all(sinks[n].count >= before[n] + 50 for n in (0, 2)))
        node.stop()
        runner.join(LONG_S)
    assert sinks[1].count == before[1]
    assert not {"lost", "stalled", "failed"} & {*sinks[0].states, *sinks[2].states}
    totals = node.totals()
    assert all(one.captured == one.published + sum(one.dropped.values()) for one in totals.values())
    assert totals["b"].events["source.lost"] == 1
