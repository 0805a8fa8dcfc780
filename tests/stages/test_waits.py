"""How long inference waited for a processor: read from one open file, whichever thread computes; none is left open."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx_models import palette_model

from drivenet.engine import open_engine
from drivenet.engine.null import NullEngine
from drivenet.engine.own_thread import OwnThread
from drivenet.frame import Frame
from drivenet.latency import Timeline, Waits
from drivenet.pipeline import Pipeline
from drivenet.record import Record
from drivenet.segmenter import Segmenter
from drivenet.sources import open_source
from drivenet.stages import default_stages, run_stages

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/thread-self/schedstat"), reason="this kernel has no /proc/thread-self/schedstat"
)


@pytest.fixture
def more_open() -> Callable[[], int]:
    """How many files of this process that tell of waits are open, more than before the test."""
    gc.collect()
    before = _open_files()
    return lambda: _open_files() - before


def _open_files() -> int:
    here, found = Path("/proc/self/fd"), []
    for number in os.listdir(here):
        with contextlib.suppress(OSError):  # the one that lists them
            found.append(os.readlink(here / number))
    return sum(file.endswith("/schedstat") for file in found)


def told(thread: int) -> int:
    """What the system says now."""
    return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[1])


@pytest.fixture
def worker() -> Iterator[OwnThread]:
    own = OwnThread("engine", "the engine")
    yield own
    own.end(lambda: None)


def test_it_is_what_the_system_says_at_every_time(worker: OwnThread) -> None:
    waits, number = Waits(), worker.number
    assert number is not None
    for thread in (number, None, number):
        for _ in range(3):
            worker.call(sum, range(10_000))
            low = told(thread or threading.get_native_id())
            assert low <= waits.ns(thread) <= told(thread or threading.get_native_id())


def test_a_thread_that_has_ended_is_told_as_none_and_the_next_one_anew(
    worker: OwnThread, more_open: Callable[[], int]
) -> None:
    waits, ended = Waits(), OwnThread("old", "the engine")
    waits.ns(ended.number)
    ended.end(lambda: None)
    until = time.monotonic() + 30
    while os.path.exists(f"/proc/self/task/{ended.number}"):  # for the system it ends a little later
        assert time.monotonic() < until, "it never ends"
        time.sleep(0.01)
    assert waits.ns(ended.number) == 0
    assert more_open() == 0
    assert worker.number is not None
    assert waits.ns(worker.number) <= told(worker.number)


def test_one_file_is_open_however_often_threads_change(more_open: Callable[[], int]) -> None:
    waits = Waits()
    for _ in range(20):
        own = OwnThread("engine", "the engine")
        for _ in range(3):
            waits.ns(own.number)
            assert more_open() == 1
        own.end(lambda: None)
    waits.ns()
    assert more_open() == 1
    waits.close()
    waits.close()
    assert more_open() == 0
    waits.ns()
    assert more_open() == 1
    del waits
    assert more_open() == 0


def test_a_file_that_cannot_be_opened_is_no_wait(more_open: Callable[[], int]) -> None:
    waits = Waits()
    assert waits.ns(2**30) == 0
    assert more_open() == 0


def test_frames_do_not_open_it_again(worker: OwnThread, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, really = [], os.open

    def counted(path: str, *how: int) -> int:
        opened.append(path)
        return really(path, *how)

    monkeypatch.setattr(os, "open", counted)
    engine = NullEngine()
    engine.worker = worker.number
    stages = default_stages(engine)
    for index in range(5):
        frame = Frame(np.zeros((48, 64, 3), np.uint8), index, 0)
        run_stages(Record(frame, engine.spec.label_set, Timeline(0)), stages)
    assert opened == [f"/proc/self/task/{worker.number}/schedstat"]


def test_a_run_and_a_segmenter_close_it(tmp_path: Path, more_open: Callable[[], int]) -> None:
    model = palette_model(tmp_path)
    pipeline = Pipeline(open_source("synthetic://96x64@30?frames=3", paced=False), open_engine(model), [])
    pipeline.run()
    assert more_open() == 0
    segmenter = Segmenter(model)
    segmenter.segment(np.zeros((64, 96, 3), np.uint8))
    assert more_open() == 1
    segmenter.close()
    assert more_open() == 0
    assert pipeline.stages, "they are still there"
