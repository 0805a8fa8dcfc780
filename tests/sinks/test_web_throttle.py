"""Inference first: viewers get fewer pictures while it waits for processors, and all of them again afterwards."""

from __future__ import annotations

import hashlib
import os
import threading
import time

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from drivenet.classmap import Ids
from drivenet.engine.null import NullEngine
from drivenet.engine.own_thread import OwnThread
from drivenet.frame import Frame, Image
from drivenet.latency import Timeline, Waits, now_ns
from drivenet.record import Record
from drivenet.sinks.web.throttle import CALM, LOOK, RAREST, Throttle
from drivenet.stages import default_stages, run_stages


def admitted(throttle: Throttle, pictures: int, waited_share: float) -> int:
    """Of so many results, how many go to viewers; inference takes 10 ms each."""
    line = Timeline(0, waited=int(waited_share * 10_000_000)).then("infer", 1_000, 10_001_000)
    return sum(throttle.admits(line) for _ in range(pictures))


def test_viewers_get_everything_where_inference_does_not_wait() -> None:
    assert admitted(Throttle(), 10 * LOOK, 0.05) == 10 * LOOK


def test_viewers_get_less_and_less_while_inference_waits_and_never_nothing() -> None:
    throttle = Throttle()
    shown = [admitted(throttle, 60, 0.5) for _ in range(4)]
    assert shown == sorted(shown, reverse=True)
    assert (throttle.every, shown[-1]) == (RAREST, 60 // RAREST)


def test_viewers_of_a_slow_run_get_every_picture() -> None:
    """Whose four last ones may be of seconds ago; and of a run at 10 Hz they get two a second."""
    throttle = Throttle()
    admitted(throttle, 10 * LOOK, 0.5)
    assert throttle.every == RAREST
    ends = [*range(10**9, 10**10, 5 * 10**8), *range(10**10, 2 * 10**10, 10**8)]
    lines = [Timeline(end - 1).then("infer", end - 1, end) for end in ends]
    assert all(throttle.admits(line) for line in lines[:18])
    assert throttle.every == RAREST
    assert sum(throttle.admits(line) for line in lines[18:]) <= 100 // RAREST + 1


def test_between_the_bounds_it_stays_as_it_is() -> None:
    throttle = Throttle()
    admitted(throttle, 2 * LOOK, 0.5)
    before = throttle.every
    admitted(throttle, 100 * LOOK, 0.1)
    assert throttle.every == before == 3


def test_it_comes_back_in_steps() -> None:
    throttle = Throttle()
    admitted(throttle, 10 * LOOK, 0.5)
    admitted(throttle, CALM * LOOK, 0.0)
    assert throttle.every == RAREST - 1
    admitted(throttle, RAREST * CALM * LOOK, 0.0)
    assert throttle.every == 1


def crowd() -> None:
    """Half a second of work on one processor, without Python's lock."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    until, data = time.monotonic() + 0.5, bytes(1 << 22)
    while time.monotonic() < until:
        hashlib.sha256(data)


def test_a_wait_for_a_processor_is_told_apart_from_work_and_sleep() -> None:
    """Two threads of one processor that hold no lock wait for each other; alone and asleep none waits."""
    if not os.path.exists("/proc/thread-self/schedstat"):
        pytest.skip("this kernel has no /proc/thread-self/schedstat")
    waits = Waits()
    before, started = waits.ns(), now_ns()
    time.sleep(0.2)
    waited = waits.ns() - before  # on a busy machine it waits once it is awake, which is no part of the sleep
    assert waited <= now_ns() - started - 180_000_000
    found = {}

    def work(name: str) -> None:
        own = Waits()
        first = own.ns()
        crowd()
        found[name] = own.ns(threading.get_native_id()) - first

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(found.values()) > 50_000_000


def test_the_wait_of_a_thread_that_computes_for_another_counts() -> None:
    if not os.path.exists("/proc/thread-self/schedstat"):
        pytest.skip("this kernel has no /proc/thread-self/schedstat")

    class Elsewhere(NullEngine):
        def infer(self, image: Image) -> Ids:
            own.call(crowd)
            return super().infer(image)

    own, engine = OwnThread("engine", "the engine"), Elsewhere()
    engine.worker = own.number
    rival = threading.Thread(target=crowd)
    rival.start()
    frame = Frame(np.zeros((48, 64, 3), np.uint8), 0, now_ns())
    record = Record(frame, engine.spec.label_set, Timeline(frame.captured_ns))
    done = run_stages(record, default_stages(engine))
    rival.join()
    own.end(lambda: None)
    assert done.timeline.waited > 50_000_000
