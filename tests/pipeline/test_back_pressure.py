"""A slow sink loses frames of its own and delays nobody; what shall be complete is waited for under ``every``."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from pipeline_parts import LONG_S, Drive, Engine, Keeper, exact, fair

from drivenet.errors import SinkError
from drivenet.health import Health
from drivenet.pipeline import POLICIES, Pipeline
from drivenet.pipeline.deadlines import AFTER_END_S, ShutdownDeadlines
from drivenet.pipeline.delivery import MAX_UNSETTLED
from drivenet.result import Result
from drivenet.sinks.jsonl import JsonlSink
from drivenet.sinks.video import VideoSink

COUNT = 30


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(LONG_S)
    assert set(threading.enumerate()) <= before


class Gate:
    """Holds a sink up in its n-th call until it is opened."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.reached, self.opened = at, threading.Event(), threading.Event()

    def __call__(self, call: int) -> None:
        if call == self.at:
            self.reached.set()
            assert self.opened.wait(LONG_S)


class GatedVideo(VideoSink):
    """A recording whose n-th frame waits at a gate."""

    def __init__(self, path: Path, gate: Callable[[int], object]) -> None:
        super().__init__(path, fps=30.0)
        self.gate, self.calls = gate, 0

    def publish(self, result: Result) -> None:
        self.gate(self.calls)
        self.calls += 1
        super().publish(result)


def pictures(path: Path) -> int:
    """How many a recording holds."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def frame_lines(path: Path) -> list[int]:
    """The frames of a stats file, which must have its summary."""
    *frames, summary = (json.loads(line) for line in path.read_text().splitlines())
    assert summary["type"] == "summary"
    return [f["frame"] for f in frames if f["type"] == "frame"]


def one_by_one(sink: Keeper) -> Callable[[int], object]:
    """A source's gate: a frame comes when a sink has the one before it."""
    delivery = threading.Semaphore(1)
    sink.on_publish = lambda _: delivery.release()
    return lambda _: delivery.acquire(timeout=LONG_S)


@pytest.mark.parametrize(
    ("policy", "overflow", "waiting"), [("latest", "drop", 2), ("latest", "block", 4), ("every", "drop", 2)]
)
def test_a_slow_sink_drops_its_own_frames_and_the_others_get_all(policy: str, overflow: Any, waiting: int) -> None:
    gate = Gate()
    slow, quick = Keeper("slow", overflow=overflow, on_publish=gate), Keeper("quick")
    recorder = Keeper("recorder", records=True)
    recorder.on_publish = lambda call: call == COUNT - 1 - MAX_UNSETTLED and gate.opened.set()  # no sooner
    next_one = one_by_one(quick)
    source = Drive(COUNT, gate=lambda n: (next_one(n), n != 1 or gate.reached.wait(LONG_S)))
    totals = Pipeline(source, Engine(), [slow, quick, recorder], policy=policy).run()
    assert quick.indices == recorder.indices == list(range(COUNT)), "in order, without waiting for the slow one"
    assert slow.indices[0] == 0
    assert slow.indices[-1] == COUNT - 1, "the newest frame is never the one that is dropped"
    assert len(slow.indices) < COUNT - waiting
    assert (totals.published, totals.dropped) == (COUNT, {})
    assert fair(totals, [slow, quick, recorder])


def test_a_slow_recording_is_complete_under_every(tmp_path: Path) -> None:
    """The engine comes to stand while the second recording waits, and nobody loses anything."""
    gate = Gate(at=3)
    engine = Engine(wait=lambda call: call == 8 and gate.opened.set())
    sinks = [VideoSink(tmp_path / "a.mp4", fps=30.0), GatedVideo(tmp_path / "b.mp4", gate), Keeper(overflow="drop")]
    totals = Pipeline(Drive(COUNT), engine, [*sinks, JsonlSink(tmp_path / "s.jsonl")], policy="every").run()
    assert pictures(tmp_path / "a.mp4") == pictures(tmp_path / "b.mp4") == COUNT
    assert frame_lines(tmp_path / "s.jsonl") == list(range(COUNT))
    assert (
        totals.sinks["video"] == totals.sinks["video-2"] == totals.sinks["stats"] == {"published": COUNT, "dropped": 0}
    )
    assert totals.dropped == {}


def test_the_engine_does_not_run_ahead_of_a_recording_under_every() -> None:
    gate, engine = Gate(), Engine()
    sink = Keeper(on_publish=gate)

    def stop() -> None:
        assert gate.reached.wait(LONG_S)
        pipeline.stop()
        gate.opened.set()

    pipeline = Pipeline(Drive(10**9), engine, [sink], policy="every")
    stopper = threading.Thread(target=stop)
    stopper.start()
    totals = pipeline.run()
    stopper.join(LONG_S)
    assert exact(totals)
    assert fair(totals, [sink])
    assert sink.indices == list(range(len(sink.indices)))
    assert engine.calls <= 1 + 4 + 2 + 1, "one at work, four waiting, two results, one in the engine"


class Choosy(Keeper):
    """Leaves every other frame out."""

    def publish(self, result: Result) -> bool:
        super().publish(result)
        return result.frame.index % 2 == 0


def test_what_a_sink_leaves_out_is_dropped_there_and_published_where_another_has_it() -> None:
    alone = Pipeline(Drive(COUNT), Engine(), [Choosy("choosy")], policy="every").run()
    assert (alone.sinks["choosy"], alone.dropped) == ({"published": 15, "dropped": 15}, {"sink": 15})
    both = Pipeline(Drive(COUNT), Engine(), [Choosy("choosy"), Keeper()], policy="every").run()
    assert (both.published, both.sinks["choosy"]) == (COUNT, {"published": 15, "dropped": 15})
    assert exact(alone)


def test_under_every_a_lone_window_still_gets_all() -> None:
    sink = Keeper("window", overflow="drop", main_thread=True)
    assert Pipeline(Drive(COUNT), Engine(), [sink], policy="every").run().dropped == {}
    assert sink.indices == list(range(COUNT))


def test_sinks_that_ask_for_it_are_served_in_the_callers_thread() -> None:
    windows = [Keeper(f"w{n}", main_thread=True, needs_view=True) for n in range(2)]
    other = Keeper("other")
    totals = Pipeline(Drive(COUNT), Engine(), [*windows, other], policy="every").run()
    assert [s.threads for s in (*windows, other)] == [{"MainThread"}] * 2 + [{"sink other"}]
    assert [len(s.results) for s in (*windows, other)] == [COUNT] * 3
    assert fair(totals, [*windows, other])


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_sinks_have_a_lower_priority_than_the_engine() -> None:
    seen: dict[str, int] = {}

    def note(who: str) -> None:
        seen[who] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    sink = Keeper(on_publish=lambda _: note("sink"))
    Pipeline(Drive(2), Engine(wait=lambda _: note("engine")), [sink], policy="every").run()
    assert seen["engine"] == os.getpriority(os.PRIO_PROCESS, os.getpid())
    assert seen["sink"] > seen["engine"]


def test_a_sink_that_raises_leaves_the_others_whole(tmp_path: Path) -> None:
    sinks = [VideoSink(tmp_path / "o.mp4", fps=30.0), Keeper("bad", fail_at=5), JsonlSink(tmp_path / "s.jsonl")]
    with pytest.raises(SinkError, match="bad failed"):
        Pipeline(Drive(10**9), Engine(), sinks, policy="every").run()
    *_, summary = (json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines())
    assert summary["sinks"]["bad"]["failed"] == 1
    assert summary["sinks"]["bad"]["published"] == 5
    assert summary["sinks"]["video"]["published"] == pictures(tmp_path / "o.mp4") >= 1
    assert summary["sinks"]["stats"]["published"] == summary["published"] == len(frame_lines(tmp_path / "s.jsonl"))
    assert summary["captured"] == summary["published"] + sum(summary["dropped"].values())


@pytest.mark.parametrize("hung_records", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_sink_that_hangs_at_the_stop_is_left_behind(tmp_path: Path, policy: str, hung_records: bool) -> None:
    gate = Gate(at=2)
    hung = Keeper("hung", on_publish=gate, records=hung_records)
    hung.target = "the moon"
    sinks = [VideoSink(tmp_path / "o.mp4", fps=30.0), hung, JsonlSink(tmp_path / "s.jsonl")]
    pipeline = Pipeline(Drive(10**9), Engine(), sinks, policy=policy)
    stopper = threading.Thread(target=lambda: gate.reached.wait(LONG_S) and pipeline.stop())
    stopper.start()
    with pytest.raises(SinkError, match="cannot write the moon: it does not return"):
        pipeline.run()
    stopper.join(LONG_S)
    totals = pipeline.accounting.totals()
    assert exact(totals)
    assert totals.sinks["hung"]["published"] == len(hung.results) == 2
    assert sum(totals.sinks["hung"].values()) == (
        totals.published if hung_records else sum(totals.sinks["video"].values())
    )
    assert pictures(tmp_path / "o.mp4") == totals.sinks["video"]["published"] >= 1
    assert len(frame_lines(tmp_path / "s.jsonl")) == totals.sinks["stats"]["published"] == totals.published
    assert hung.totals == []
    gate.opened.set()
    assert hung.over.wait(LONG_S), "should it return, it is closed all the same"
    assert pipeline.accounting.totals().sinks == totals.sinks


def test_a_live_sink_that_hangs_does_not_hold_up_the_end_of_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivenet.pipeline.deadlines.AFTER_END_S", dict.fromkeys(AFTER_END_S, 0.5))
    gate, complete = Gate(), Keeper("complete")
    hung = Keeper("hung", on_publish=gate, overflow="drop")
    source = Drive(COUNT, gate=one_by_one(complete))
    pipeline = Pipeline(source, Engine(), [hung, complete], policy="every")
    with pytest.raises(SinkError, match="hung: it does not return"):
        pipeline.run()
    totals = pipeline.accounting.totals()
    assert (complete.indices, totals.published) == (list(range(COUNT)), COUNT)
    assert totals.sinks["hung"] == {"published": 0, "dropped": COUNT}
    gate.opened.set()
    assert hung.over.wait(LONG_S)


def test_a_recording_that_takes_long_at_the_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivenet.pipeline.deadlines.AFTER_END_S", dict.fromkeys(AFTER_END_S, 0.0))
    source = Drive(3)
    slow = Keeper(on_publish=lambda call: call == 2 and source.closed.wait(LONG_S) and time.sleep(0.5))
    assert Pipeline(source, Engine(), [slow], policy="every").run().published == 3


def test_deadlines_are_short_once_the_run_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_ns, at_work = 0, True
    deadlines = ShutdownDeadlines(lambda: stopped_ns, lambda: at_work)
    over = deadlines.over("close")
    assert not over(), "it has just begun"
    monkeypatch.setattr("drivenet.pipeline.deadlines._LEAST_S", 0.0)
    monkeypatch.setattr("drivenet.pipeline.deadlines.AFTER_END_S", dict.fromkeys(AFTER_END_S, 0.0))
    assert not over(), "a recording is waited for"
    at_work = False
    assert over()
    at_work, stopped_ns = True, time.monotonic_ns()
    assert not over()
    stopped_ns -= 2_500_000_000
    assert over(), "whatever is at work"


def test_losses_and_counts_come_in_order_with_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow sink is told of a loss after the frames before it, of the newest counts only, and of nothing twice."""
    monkeypatch.setattr("drivenet.pipeline.health.LOST_AFTER_S", 0.01)
    monkeypatch.setattr("drivenet.pipeline.pipeline._TICK_S", 0.01)
    monkeypatch.setattr("drivenet.pipeline.pipeline._CHECK_NS", 0)
    told: list[object] = []

    class Told(Keeper):
        def publish(self, result: Result) -> None:
            super().publish(result)
            told.append(result.frame.index)

        def health(self, health: Health) -> None:
            super().health(health)
            if health.state == "lost":
                told.append("lost")

    gate, quick = Gate(), Keeper("quick", overflow="drop")
    slow = Told("slow", on_publish=gate, overflow="drop")

    def give(n: int) -> None:
        if n == 2:  # the quick one is told of the loss, again and again, while the other one is at its first frame
            assert quick.lost_told.wait(LONG_S)
            gate.opened.set()
            assert slow.lost_told.wait(LONG_S)

    Pipeline(Drive(3, live=True, gate=give), Engine(), [slow, quick], policy="every").run()
    assert [t for t in told if t != "lost"] == [0, 1, 2]
    assert told.index("lost") == 2


@pytest.mark.parametrize("seed", range(6))
def test_the_books_balance_whatever_the_threads_do(seed: int) -> None:
    dice = random.Random(seed)

    def jitter(_: int) -> None:
        time.sleep(dice.random() * dice.choice([0, 0.001, 0.005]))

    def sink(n: int) -> Keeper:
        return Keeper(
            f"s{n}", on_publish=jitter, overflow=dice.choice(["drop", "block"]), records=dice.random() < 0.3,
            main_thread=dice.random() < 0.2, fail_at=dice.choice([None, None, None, None, 20]),
            stop_at=dice.choice([None, None, None, 30]), needs_view=False,
        )  # fmt: skip

    sinks = [sink(n) for n in range(5)]
    last = Keeper("last", records=True)
    pipeline = Pipeline(Drive(60), Engine(), [*sinks, last], policy=POLICIES[seed % 2])
    try:
        totals = pipeline.run()
    except SinkError:
        (totals,) = last.totals
    assert exact(totals)
    assert fair(totals, [*sinks, last])
    assert len({id(s.totals[0]) for s in (*sinks, last)}) == 1
    had = {n for s in sinks if not s.records for n in s.indices}
    assert had >= set(last.indices) or all(s.records for s in sinks)
