"""Several frames at the engine at a time: in order, exactly counted, and with the same results as one by one."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx_models import palette_model
from pipeline_parts import LONG_S, Drive, Engine, Keeper, exact

from drivenet.classmap import Ids
from drivenet.engine import open_engine, open_like
from drivenet.engine.laned import Laned
from drivenet.errors import EngineError
from drivenet.frame import Image
from drivenet.latency import Timeline
from drivenet.pipeline import Pipeline
from drivenet.record import Record
from drivenet.sources import open_source
from drivenet.stages import Stage, default_stages
from drivenet.stages.lanes import Lanes


def side_by_side(count: int) -> Callable[[int], object]:
    """Lets nobody go on before so many wait."""
    barrier = threading.Barrier(count, timeout=LONG_S)
    return lambda _: barrier.wait()


class Threads(Stage):
    """Keeps which threads it was called in, and which frames it saw."""

    name = "threads"

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.frames: list[int] = []
        self.resets = 0

    def __call__(self, record: Record) -> Record:
        self.names.add(threading.current_thread().name)
        self.frames.append(record.frame.index)
        return record

    def reset(self) -> None:
        self.resets += 1


def laned(count: int, **how: object) -> Laned:
    """An engine of so many lanes, all of them open."""
    engine = Laned(Engine(**how), lambda: Engine(**how), count)  # type: ignore[arg-type]
    engine.open_all()
    return engine


@pytest.mark.parametrize("lanes", [2, 3])
def test_as_many_frames_as_lanes_are_inferred_at_a_time_and_come_in_order(lanes: int) -> None:
    engine, keeper, seen = laned(lanes, wait=side_by_side(lanes)), Keeper(), Threads()
    stages = [*default_stages(engine), seen]
    totals = Pipeline(Drive(6 * lanes), engine, [keeper], policy="every", stages=stages).run()
    assert keeper.indices == seen.frames == list(range(6 * lanes))
    assert exact(totals)
    assert len(seen.names) == 1
    assert seen.resets == 1
    assert all(min(r.timeline.stages_ms().values()) >= 0 for r in keeper.results)


def test_a_frame_that_comes_while_another_one_is_inferred_is_begun() -> None:
    inferring = threading.Event()
    together = threading.Barrier(2, timeout=LONG_S)

    def wait(_: int) -> None:
        inferring.set()
        together.wait()

    def gate(index: int) -> None:
        if index == 1:
            assert inferring.wait(LONG_S)
            time.sleep(0.1)  # nobody is on the way to the mailbox any more

    keeper = Keeper()
    totals = Pipeline(Drive(2, gate=gate), laned(2, wait=wait), [keeper], policy="every").run()
    assert keeper.indices == [0, 1]
    assert exact(totals)


def test_an_engine_that_fails_in_one_lane_and_hangs_in_another_ends_the_run() -> None:
    begun, go, returned = threading.Barrier(2, timeout=LONG_S), threading.Event(), threading.Event()

    class Broken(Engine):
        def infer(self, image: Image) -> Ids:
            if not image.any():  # the first frame
                begun.wait()
                raise EngineError("engine failed")
            begun.wait()
            go.wait(LONG_S)
            returned.set()
            return super().infer(image)

    several, keeper = Laned(Broken(), Broken, 2), Keeper()
    several.open_more()
    several._opener.join()
    with pytest.raises(EngineError, match="engine failed"):
        Pipeline(Drive(20), several, [keeper], policy="every").run()
    assert not returned.is_set()
    go.set()
    assert exact(keeper.totals[0])
    assert keeper.totals[0].dropped["failed"] == 1


def test_with_one_lane_a_frame_is_begun_when_the_one_before_is_done() -> None:
    begun: list[int] = []
    engine = Engine(wait=begun.append)
    frames = iter(Drive(3))

    def take() -> Record | None:
        frame = next(frames, None)
        return None if frame is None else Record(frame, engine.spec.label_set, Timeline(frame.captured_ns))

    lanes = Lanes(default_stages(engine), 1, take)
    for index in range(3):
        lanes.begin()
        assert lanes.finish().frame.index == index
        assert len(begun) == index + 1
    lanes.begin()
    assert not lanes.busy
    assert lanes.end() == 0


def test_a_stage_before_the_engine_that_is_not_parallel_keeps_all_in_one_thread() -> None:
    engine, first = laned(2), Threads()
    keeper, last = Keeper(), Threads()
    last.name = "last"
    stages = [first, *default_stages(engine), last]
    Pipeline(Drive(8), engine, [keeper], policy="every", stages=stages).run()
    assert keeper.indices == list(range(8))
    assert first.names == last.names
    assert len(first.names) == 1


def test_what_was_inferred_before_a_failure_is_published_and_the_rest_counted() -> None:
    calls = threading.Semaphore(5)

    def fails(_: int) -> None:
        if not calls.acquire(blocking=False):
            raise EngineError("engine failed")

    engine, keeper = laned(2, wait=fails), Keeper()
    pipeline = Pipeline(Drive(20), engine, [keeper], policy="every")
    with pytest.raises(EngineError, match="engine failed"):
        pipeline.run()
    totals = keeper.totals[0]
    assert keeper.indices == list(range(len(keeper.indices)))
    assert 4 <= len(keeper.indices) <= 5
    assert exact(totals)
    assert totals.dropped["failed"] == 1


def test_a_stop_waits_for_what_is_in_work_and_closes_every_engine() -> None:
    engines = [Engine(), Engine()]
    engine, keeper = Laned(engines[0], lambda: engines[1], 2), Keeper(stop_at=3)
    totals = Pipeline(Drive(500), engine, [keeper], policy="every").run()
    assert exact(totals)
    assert totals.published >= 4
    assert [one.times_closed for one in engines] == [1, 1]
    assert not [t for t in threading.enumerate() if t.name in ("infer", "open lanes")]


def test_the_results_are_those_of_one_engine(tmp_path: Path) -> None:
    def run(lanes: int) -> list[dict[str, object]]:
        source = open_source("synthetic://192x128@30?frames=24", paced=False)
        engine = open_engine(palette_model(tmp_path), "onnxruntime", threads=1)
        keeper = Keeper()
        several = Laned(engine, lambda: open_like(engine, 1), lanes) if lanes > 1 else engine
        Pipeline(source, several, [keeper], policy="every", stages=default_stages(several, track=True)).run()
        return [{"ids": r.classmap.ids.tobytes(), "scene": r.scene.to_dict()} for r in keeper.results]

    assert run(3) == run(1)
    assert len(run(2)) == 24


def test_many_pictures_come_in_order_also_where_one_array_is_used_again(tmp_path: Path) -> None:
    engine = open_engine(palette_model(tmp_path), "onnxruntime", threads=1)
    several = Laned(engine, lambda: open_like(engine, 1), 3)
    pictures = [np.full((*engine.spec.input, 3), 20 * i, np.uint8) for i in range(12)]
    expected = [engine.infer(picture) for picture in pictures]
    again = np.empty_like(pictures[0])

    def one_array() -> object:
        for picture in pictures:
            again[:] = picture
            yield again

    found = list(several.infer_many(one_array()))  # type: ignore[arg-type]
    assert all(map(np.array_equal, found, expected))
    assert len(found) == 12
    several.close()


@pytest.mark.parametrize("kind", [EngineError, RuntimeError, MemoryError])
def test_a_lane_that_cannot_be_opened_is_told_and_done_without(
    caplog: pytest.LogCaptureFixture, kind: type[Exception]
) -> None:
    def another() -> Engine:
        raise kind("no memory for another one")

    engine, keeper = Laned(Engine(), another, 3), Keeper()
    totals = Pipeline(Drive(9), engine, [keeper], policy="every").run()
    assert keeper.indices == list(range(9))
    assert totals.engine["lanes"] == 1
    assert "serves 1 frames at a time, not 3: no memory for another one" in caplog.text


def test_the_first_picture_is_served_before_another_lane_is_opened() -> None:
    served, opened = threading.Event(), threading.Event()

    def another() -> Engine:
        assert served.is_set()
        opened.set()
        return Engine()

    engine = Laned(Engine(wait=lambda _: served.set()), another, 2)
    assert engine._opener.ident is None
    engine.infer(np.zeros((*engine.spec.input, 3), np.uint8))
    assert opened.wait(LONG_S)
    engine.close()


def test_the_end_does_not_wait_for_a_lane_that_is_opened_for_long() -> None:
    go, late = threading.Event(), Engine()

    def another() -> Engine:
        go.wait(LONG_S)
        return late

    engine = Laned(Engine(), another, 4)
    engine.open_more()
    engine.close()
    assert engine._opener.is_alive()
    go.set()
    engine._opener.join(LONG_S)
    assert late.times_closed == 1
    with pytest.raises(EngineError, match="closed"):
        engine.infer(np.zeros((*engine.spec.input, 3), np.uint8))


def test_a_lane_that_does_not_close_keeps_no_other_one_open() -> None:
    class Stubborn(Engine):
        def close(self) -> None:
            raise EngineError("it does not close")

    other = Engine()
    engine = Laned(Stubborn(), lambda: other, 2)
    engine.open_more()
    engine._opener.join()
    with pytest.raises(EngineError, match="does not close"):
        engine.close()
    assert other.times_closed == 1


_LEFT_OPEN = """
import time
from drivenet.engine import open_engine
from drivenet.engine.laned import Laned

def another():
    time.sleep(0.5)  # as a network that is compiled; the rest of the interpreter's end would meet it in C++
    print("opened")
    return open_engine("null")

engine = Laned(open_engine("null"), another, 9)
engine.open_more()
"""


def test_the_interpreter_does_not_end_while_a_lane_is_opened_but_opens_no_more() -> None:
    done = subprocess.run([sys.executable, "-c", _LEFT_OPEN], capture_output=True, text=True, timeout=LONG_S)
    assert (done.stdout, done.stderr, done.returncode) == ("opened\n", "", 0)


def test_the_thread_that_computes_is_that_of_the_callers_lane(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    engine = open_engine(palette_model(tmp_path), "openvino", threads=1)
    several = Laned(engine, lambda: open_like(engine, 1), 2)
    several.open_more()
    several._opener.join()
    found: dict[str, int | None] = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: several.worker})) for n in "ab"]
    for thread in threads:
        thread.start()
        thread.join()
    assert None not in found.values()
    assert found["a"] != found["b"]
    several.close()


def test_who_waits_gets_the_first_engine_that_is_free() -> None:
    """Three threads on two lanes: the third, whose own lane is kept busy, is served by the other one."""
    kept, busy = threading.Event(), threading.Barrier(2, timeout=LONG_S)

    def stays(_: int) -> None:
        busy.wait()
        kept.wait(LONG_S)

    engines = [Engine(wait=stays), Engine()]
    engine = Laned(engines[0], lambda: engines[1], 2)
    engine.open_more()
    engine._opener.join()
    image = np.zeros((*engine.spec.input, 3), np.uint8)
    first = threading.Thread(target=engine.infer, args=(image,))
    first.start()
    busy.wait()
    found: list[object] = []
    others = [threading.Thread(target=lambda: found.append(engine.infer(image))) for _ in range(4)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(LONG_S)
    assert len(found) == 4
    kept.set()
    first.join()
    assert (engines[0].calls, engines[1].calls) == (1, 4)
    engine.close()
