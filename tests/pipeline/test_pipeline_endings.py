"""However a run ends, every captured frame is accounted for and every edge is closed once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
from onnx_models import palette_model
from pipeline_parts import LONG_S, Drive, Engine, Keeper, exact, fair

from drivenet.errors import DrivenetError, EngineError, SinkError, SourceError, SourceLostError
from drivenet.frame import Frame
from drivenet.pipeline import POLICIES, Pipeline
from drivenet.result import Totals

pytestmark = pytest.mark.usefixtures("nothing_left_running")
#: More frames than any run takes; each run here ends for another reason.
ENDLESS = 10**9


@dataclass
class Ending:
    """How a run was set up, and what came of it."""

    source: Drive
    engine: Engine
    sinks: list[Keeper]
    totals: Totals = field(default_factory=Totals)
    error: DrivenetError | None = None
    recorder: Keeper = field(default_factory=lambda: Keeper("recorder", records=True))


def end(source: Drive, engine: Engine | None = None, sinks: list[Keeper] | None = None, **how: object) -> Ending:
    """Run to the end, whatever that is."""
    ending = Ending(source, engine or Engine(), [Keeper()] if sinks is None else sinks)
    recorder = ending.recorder
    pipeline = Pipeline(source, ending.engine, [*ending.sinks, recorder], **how)  # type: ignore[arg-type]
    try:
        ending.totals = pipeline.run()
    except DrivenetError as error:
        ending.error = error
        (ending.totals,) = recorder.totals
    assert exact(ending.totals), ending.totals
    assert (source.times_closed, ending.engine.times_closed) == (1, 1)
    assert [len(s.totals) for s in (*ending.sinks, recorder)] == [1] * (len(ending.sinks) + 1)
    assert len(recorder.results) == ending.totals.published
    assert fair(ending.totals, [*ending.sinks, recorder])
    assert [s.threads for s in (*ending.sinks, recorder)] == [{f"sink {s.name}"} for s in (*ending.sinks, recorder)]
    return ending


@pytest.mark.parametrize("policy", POLICIES)
def test_end_of_source(policy: str) -> None:
    ending = end(Drive(40), policy=policy)
    assert ending.totals.captured == 40
    assert set(ending.totals.dropped) <= {"superseded"}
    (sink,) = ending.sinks
    assert sink.indices == sorted(set(sink.indices))
    assert sink.indices[-1] == 39, "the newest frame is never the one that is dropped"
    if policy == "every":
        assert sink.indices == list(range(40))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("wanted", [1, 7])
def test_max_frames(policy: str, wanted: int) -> None:
    ending = end(Drive(ENDLESS), policy=policy, max_frames=wanted)
    assert ending.totals.captured == wanted


@pytest.mark.parametrize("policy", POLICIES)
def test_a_source_that_fails_leaves_what_it_gave(policy: str) -> None:
    ending = end(Drive(9, "fail"), policy=policy)
    assert isinstance(ending.error, SourceLostError)
    assert ending.totals.captured == 9
    assert ending.sinks[0].indices[-1] == 8


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("k", [0, 5])
def test_engine_error(policy: str, k: int) -> None:
    ending = end(Drive(ENDLESS), Engine(fail_at=k), policy=policy)
    assert isinstance(ending.error, EngineError)
    assert ending.totals.published == k, "what was processed before is published"
    assert ending.totals.dropped["failed"] == 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("k", [0, 5])
def test_sink_error(policy: str, k: int) -> None:
    bad, other = Keeper("bad", fail_at=k), Keeper("other")
    ending = end(Drive(ENDLESS), sinks=[bad, other], policy=policy)
    assert isinstance(ending.error, SinkError)
    assert str(ending.error) == "bad failed"
    assert ending.totals.sinks["bad"]["failed"] == 1
    assert len(bad.results) == k, "nothing is given to a sink that has failed"
    assert set(bad.indices) | set(other.indices) == set(ending.recorder.indices), "what a sink has is published"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("k", [0, 5])
def test_a_frame_that_the_only_sink_failed_with_is_not_published(policy: str, k: int) -> None:
    ending = end(Drive(ENDLESS), sinks=[Keeper(fail_at=k)], policy=policy)
    assert ending.totals.published == k
    assert ending.totals.dropped["failed"] == 1


def test_a_recorder_that_fails_does_not_keep_the_frame_from_another() -> None:
    ending = end(Drive(ENDLESS), sinks=[bad := Keeper("bad", fail_at=3, records=True)])
    assert isinstance(ending.error, SinkError)
    assert len(bad.results) == 3
    assert ending.totals.published >= 4


@pytest.mark.parametrize("policy", POLICIES)
def test_a_sink_that_has_seen_enough(policy: str) -> None:
    ending = end(Drive(ENDLESS), sinks=[Keeper(stop_at=4)], policy=policy)
    assert ending.error is None
    assert ending.totals.published == 5


@pytest.mark.parametrize("policy", POLICIES)
def test_stop_from_another_thread_while_the_source_is_silent(policy: str) -> None:
    sink = Keeper(on_publish=lambda _: threading.Thread(target=pipeline.stop).start())
    source, engine = Drive(3, "silence"), Engine()
    pipeline = Pipeline(source, engine, [sink], policy=policy)
    totals = pipeline.run()
    assert exact(totals)
    assert source.times_closed == engine.times_closed == 1


def test_stop_before_the_start() -> None:
    source = Drive(ENDLESS)
    pipeline = Pipeline(source, Engine(), [Keeper()])
    pipeline.stop()
    totals = pipeline.run()
    assert totals.published == 0
    assert exact(totals)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_slow_sink_gets_the_newest_frame_and_the_engine_does_not_run_ahead(policy: str) -> None:
    """Every frame is captured while the first is being published."""
    all_given = threading.Event()
    source = Drive(50, gate=lambda n: all_given.set() if n == 49 else None)
    first_waits: Callable[[int], object] = lambda call: policy == "latest" and call == 0 and all_given.wait(LONG_S)  # noqa: E731
    engine = Engine()
    ending = end(source, engine, [Keeper(on_publish=first_waits)], policy=policy)
    if policy == "latest":
        assert ending.sinks[0].indices[-1] == 49
        assert engine.calls == ending.totals.published <= 3, "one published, one waiting, the newest"
    else:
        assert ending.totals.published == 50


def test_latest_drops_while_the_engine_is_slow() -> None:
    all_given = threading.Event()
    source = Drive(30, gate=lambda n: all_given.set() if n == 29 else None)
    ending = end(source, Engine(wait=lambda call: call or all_given.wait(LONG_S)), policy="latest")
    assert ending.sinks[0].indices[-1] == 29
    assert ending.totals.dropped["superseded"] == 30 - ending.totals.published >= 26


def test_every_never_drops_whatever_is_slow() -> None:
    delivery = threading.Semaphore(0)
    sink = Keeper(on_publish=lambda _: delivery.release())
    engine = Engine(wait=lambda call: call < 3 or delivery.acquire(timeout=LONG_S))
    assert end(Drive(30), engine, [sink], policy="every").totals.dropped == {}


def test_the_first_error_is_raised_and_all_edges_are_closed() -> None:
    class BadClose(Drive):
        def close(self) -> None:
            super().close()
            raise SourceLostError("close failed")

    sinks = [Keeper("a", fail_at=2), Keeper("b", fail_close=OSError(28, "No space left on device")), Keeper("c")]
    ending = end(BadClose(ENDLESS), sinks=sinks)
    assert str(ending.error) == "a failed"


@pytest.mark.parametrize(
    ("raised", "message"),
    [(OSError(28, "No space left"), "keeper: No space left"), (SinkError("disk full"), "disk full")],
)
def test_an_error_in_closing_is_an_error_of_the_run(raised: Exception, message: str) -> None:
    assert str(end(Drive(3), sinks=[Keeper(fail_close=raised)]).error) == message


def test_a_source_that_complains_of_being_closed_did_not_fail() -> None:
    class Complains(Drive):
        def __iter__(self) -> Iterator:
            yield from super().__iter__()
            raise SourceLostError("closed under me")

    assert end(Complains(5, "silence"), sinks=[Keeper(stop_at=4)]).error is None


@pytest.mark.parametrize(("where", "kind", "message"), [
    ("source", SourceError, "drive: ZeroDivisionError: by zero"),
    ("engine", EngineError, "ZeroDivisionError: by zero"),
    ("sink", SinkError, "keeper: ZeroDivisionError: by zero"),
])  # fmt: skip
def test_a_bug_in_an_edge_of_ones_own_says_where_and_keeps_its_cause(
    where: str, kind: type[DrivenetError], message: str
) -> None:
    def bug(_: int) -> None:
        raise ZeroDivisionError("by zero")

    source = Drive(5, gate=bug) if where == "source" else Drive(5)
    engine = Engine(wait=bug) if where == "engine" else Engine()
    sink = Keeper(on_publish=bug) if where == "sink" else Keeper()
    with pytest.raises(kind, match=message) as caught:
        Pipeline(source, engine, [sink]).run()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert (source.times_closed, engine.times_closed) == (1, 1)


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["source", "engine"])
def test_what_would_end_a_thread_without_a_word_is_raised_too(where: str, raised: BaseException) -> None:
    def act(call: int) -> None:
        if call == 3:
            raise raised

    source = Drive(ENDLESS, gate=act) if where == "source" else Drive(ENDLESS)
    engine, sink = Engine(wait=act) if where == "engine" else Engine(), Keeper()
    with pytest.raises(type(raised)):
        Pipeline(source, engine, [sink], policy="every").run()
    assert sink.indices == [0, 1, 2]
    assert exact(sink.totals[0])
    assert (source.times_closed, engine.times_closed) == (1, 1)


def test_an_interrupt_in_the_main_thread_still_closes_everything() -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    source, engine, sink = Drive(ENDLESS), Engine(), Keeper(on_publish=interrupt)
    with pytest.raises(KeyboardInterrupt):
        Pipeline(source, engine, [sink]).run()
    (totals,) = sink.totals
    assert exact(totals)
    assert (source.times_closed, engine.times_closed) == (1, 1)


def test_a_thread_that_does_not_end_is_left_behind_with_exact_books(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivenet.pipeline.shutdown._JOIN_NS", 0)
    hold, inside = threading.Event(), threading.Event()

    def wait(call: int) -> None:
        if call == 3:
            inside.set()
            hold.wait(LONG_S)

    engine, sink = Engine(wait=wait), Keeper()
    pipeline = Pipeline(Drive(ENDLESS), engine, [sink], policy="every")
    stopper = threading.Thread(target=lambda: inside.wait(LONG_S) and pipeline.stop())
    stopper.start()
    totals = pipeline.run()
    assert exact(totals)
    assert totals.published <= 3
    assert engine.times_closed == 0, "never under a thread that is still inside it"
    assert len(sink.totals) == 1
    hold.set()
    stopper.join(LONG_S)
    for thread in threading.enumerate():
        if thread.name == "infer":
            thread.join(LONG_S)
    assert exact(totals)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_sink_that_cannot_say_whether_to_stop_ends_the_run(policy: str) -> None:
    class Unsure(Keeper):
        @property
        def stop_requested(self) -> bool:  # type: ignore[override]
            raise ValueError("no idea")

    with pytest.raises(SinkError, match="ValueError: no idea"):
        Pipeline(Drive(ENDLESS), Engine(), [Unsure()], policy=policy).run()


def test_a_source_of_ones_own_that_cannot_read_is_a_source_error() -> None:
    class Unplugged(Drive):
        def __iter__(self) -> Iterator[Frame]:
            yield from Drive(2)
            raise OSError(19, "No such device")

    with pytest.raises(SourceError, match="drive: No such device"):
        Pipeline(Unplugged(2), Engine(), [Keeper()]).run()


@pytest.mark.parametrize("backend", ["null", "onnxruntime", "openvino"])
def test_a_run_that_nobody_waits_for_ends_before_the_interpreter(backend: str, tmp_path: Path) -> None:
    """A thread that is in a library of C++ then would abort the process."""
    if backend != "null" and find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    stats = tmp_path / "s.jsonl"
    program = f"""
import threading, time
from pathlib import Path
from drivenet import Pipeline, open_engine, open_source
from drivenet.sinks.jsonl import JsonlSink
engine = open_engine({str(palette_model(tmp_path)) if backend != "null" else None!r}, {backend!r})
run = Pipeline(open_source("synthetic://96x64@200"), engine, [JsonlSink({str(stats)!r})]).run
threading.Thread(target=run, daemon=True).start()
stats = Path({str(stats)!r})
while not (stats.exists() and len(stats.read_text().splitlines()) > 5):
    time.sleep(0.01)
raise SystemExit(7)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG_S)
    assert (done.returncode, done.stderr) == (7, "")
    assert json.loads(stats.read_text().splitlines()[-1])["type"] == "summary"


def test_runs_follow_each_other_in_one_process() -> None:
    assert [end(Drive(5)).totals.published for _ in range(3)] == [5, 5, 5]
