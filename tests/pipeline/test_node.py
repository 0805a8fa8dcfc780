"""Several sources on one engine: fair turns, nothing shared but the engine, one beginning and one end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from pipeline_parts import LONG_S, Drive, Engine, Keeper, exact

from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine.base import Engine as BaseEngine
from drivenet.engine.laned import Laned
from drivenet.engine.shared import LentEngine, SharedEngine
from drivenet.errors import SinkError, SourceLostError, UsageError
from drivenet.frame import Image
from drivenet.labels import CAMVID
from drivenet.node import MainThread, Node
from drivenet.overlay import Painter
from drivenet.pipeline import Pipeline
from drivenet.pipeline.state import RunState
from drivenet.result import Result
from drivenet.sinks.web.page import MultiPage


def node(engine: Engine, *parts: tuple[Drive, Keeper], main: MainThread | None = None, policy: str = "every") -> Node:
    main, shared = main or MainThread(), SharedEngine(engine)
    pipelines = {
        sink.name: Pipeline(source, shared.lend(), [main.served(sink)], policy=policy, source_id=sink.name)
        for source, sink in parts
    }
    return Node(pipelines, main, shared.close)


def test_each_source_has_its_own_counts_results_and_id_and_the_engine_is_closed_once() -> None:
    engine, a, b = Engine(), Keeper("a"), Keeper("b")
    totals = node(engine, (Drive(12), a), (Drive(5), b)).run()
    assert [(name, one.captured, one.published, one.source_id) for name, one in totals.items()] == [
        ("a", 12, 12, "a"),
        ("b", 5, 5, "b"),
    ]
    assert (a.indices, b.indices) == (list(range(12)), list(range(5)))
    assert {result.source_id for result in a.results} == {"a"}
    assert {result.to_dict()["source_id"] for result in b.results} == {"b"}
    assert (engine.calls, engine.times_closed) == (17, 1)


def test_a_source_that_fails_touches_no_other() -> None:
    failed = threading.Event()

    class Fails(Drive):
        def close(self) -> None:
            super().close()
            failed.set()

    a, b = Keeper("a"), Keeper("b")
    both = node(Engine(), (Fails(2, "fail"), a), (Drive(9, gate=lambda n: n != 4 or failed.wait(LONG_S)), b))
    with pytest.raises(SourceLostError, match="drive failed"):
        both.run()
    totals = both.totals()
    assert b.indices == list(range(9))
    assert (totals["a"].errors, totals["b"].errors) == (["drive failed"], [])
    assert totals["a"].health["state"] == "failed"
    assert totals["b"].health["state"] == "ok"
    assert all(map(exact, totals.values()))


def test_all_errors_of_all_sources_are_told() -> None:
    both = node(Engine(), (Drive(1, "fail"), Keeper("a")), (Drive(1, "fail"), Keeper("b")))
    with pytest.raises(SourceLostError) as caught:
        both.run()
    assert [str(error) for error in caught.value.also] == ["drive failed"]


def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    """One that asks again goes behind those who asked meanwhile."""
    shared, order = SharedEngine(Engine()), list[str]()
    held = [shared.turn(lambda: False) for _ in range(2)]
    for place in held:
        assert place.__enter__()

    def work(name: str, again: str = "") -> None:
        for asked in filter(None, (name, again)):
            with shared.turn(lambda: False):
                order.append(asked)

    threads = []
    for n, asks in enumerate((("a", "a again"), ("b",), ("c",)), 1):
        threads.append(threading.Thread(target=work, args=asks))
        threads[-1].start()
        until(lambda n=n: len(shared._waiting) == n)  # type: ignore[misc]
    held[0].__exit__(None, None, None)  # with the other place taken, one after the other
    for thread in threads:
        thread.join(LONG_S)
    held[1].__exit__(None, None, None)
    assert order == ["a", "b", "c", "a again"]


def test_who_gives_up_has_no_turn_and_holds_nobody_up() -> None:
    shared, gone = SharedEngine(Engine()), threading.Event()
    entered = [shared.turn(gone.is_set) for _ in range(2)]
    for place in entered:
        assert place.__enter__()
    gone.set()
    with shared.turn(gone.is_set) as granted:
        assert not granted
    for place in entered:
        place.__exit__(None, None, None)
    with shared.turn(gone.is_set) as granted:
        assert granted


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_newest_frame_is_taken_when_the_turn_comes() -> None:
    """While the engine is at others' frames, five more come: the fifth is processed."""
    shared, given = SharedEngine(Engine()), threading.Event()
    places = [shared.turn(lambda: False) for _ in range(2)]
    for place in places:
        place.__enter__()
    sink = Keeper("late")
    source = Drive(6, live=True, gate=lambda n: n < 5 or given.wait(LONG_S))
    pipeline = Pipeline(source, shared.lend(), [sink], policy="latest")
    runner = threading.Thread(target=pipeline.run)
    runner.start()
    until(lambda: pipeline.accounting.totals().dropped.get("superseded") == 4)
    for place in places:
        place.__exit__(None, None, None)
    assert sink.found.wait(LONG_S)
    given.set()
    runner.join(LONG_S)
    assert sink.indices == [4, 5]


def test_an_engine_that_hangs_stalls_all_and_ends_with_the_stop() -> None:
    gate = threading.Event()
    keepers = [Keeper(name) for name in "abc"]
    all_three = node(
        Engine(wait=lambda _: gate.wait(LONG_S)), *((Drive(10**9, live=True), k) for k in keepers), policy="latest"
    )
    runner = threading.Thread(target=all_three.run)
    runner.start()
    until(lambda: all(any(health.state == "stalled" for health in k.healths) for k in keepers))
    all_three.stop()
    runner.join(LONG_S)
    gate.set()
    assert not runner.is_alive()
    assert all(map(exact, all_three.totals().values()))


def test_a_window_is_served_in_the_main_thread_and_ends_all_when_it_is_closed() -> None:
    window, other = Keeper("window", main_thread=True, stop_at=3), Keeper("other")
    totals = node(Engine(), (Drive(10**9), window), (Drive(10**9), other)).run()
    assert window.threads == {"MainThread"}
    assert "MainThread" not in other.threads
    assert window.totals
    assert all(map(exact, totals.values()))


def test_what_a_sink_of_the_main_thread_leaves_out_counts_as_dropped() -> None:
    class Window(Keeper):
        def publish(self, result: Result) -> bool:
            super().publish(result)
            return result.frame.index != 1

    windows = {name: Window(name, main_thread=True) for name in ("a", "b")}
    totals = node(Engine(), *((Drive(3), window) for window in windows.values())).run()
    counts = [one for total in totals.values() for one in total.sinks.values()]
    assert counts == [{"published": 2, "dropped": 1}] * 2


def test_an_engine_that_is_lent_serves_one_run_after_another() -> None:
    engine = Engine()
    shared = SharedEngine(engine)
    for _ in range(2):
        assert Pipeline(Drive(3), shared.lend(), [Keeper()]).run().published == 3
    assert engine.times_closed == 0
    shared.close()
    assert (engine.calls, engine.times_closed) == (6, 1)


def test_as_many_sources_as_lanes_are_at_the_engine_at_a_time() -> None:
    barrier, now, most = threading.Barrier(2, timeout=LONG_S), threading.Semaphore(2), []

    def together(_: int) -> None:
        most.append(now.acquire(blocking=False))
        barrier.wait()
        now.release()

    engine = Laned(Engine(wait=together), lambda: Engine(wait=together), 2)
    engine.open_more()
    sinks = [Keeper("a"), Keeper("b")]
    totals = node(engine, (Drive(12), sinks[0]), (Drive(12), sinks[1])).run()
    assert all(most)  # never a third one
    assert [sink.indices for sink in sinks] == [list(range(12))] * 2
    assert all(map(exact, totals.values()))


def test_a_lent_engine_answers_all_that_an_engine_is_asked() -> None:
    """What it left to the base class would be answered without the owner: ``infer_many`` is made of ``infer``."""
    asked = {name for name, value in vars(BaseEngine).items() if callable(value) and not name.startswith("_")}
    assert asked - {"infer_many"} <= set(vars(LentEngine))
    image = np.zeros((*Engine().spec.input, 3), np.uint8)

    class All(Engine):
        def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
            return self.infer(image), "maps"  # type: ignore[return-value]

        def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
            return (ids := self.infer(image)), ids

    lent = SharedEngine(All()).lend()
    assert lent.infer_things(image)[1] == "maps"
    assert lent.infer_confident(image)[1] is not None
    assert len(list(lent.infer_many([image, image]))) == 2


def test_a_node_has_a_source() -> None:
    with pytest.raises(UsageError, match="without a source"):
        Node({})


def paged(outputs: dict[str, Keeper]) -> tuple[Node, MultiPage]:
    """A node of two live sources, and the page that both are shown on."""
    shared = SharedEngine(Engine())
    page = MultiPage(
        "127.0.0.1", 0, token=None, allow_anonymous=False, painter=Painter(CAMVID),
        sources={"a": "a", "b": "b"}, engine={"backend": "null"}, stages=("queue",),
    )  # fmt: skip
    pipelines = {
        name: Pipeline(
            Drive(10**9, live=True, gate=lambda _: time.sleep(0.005)), shared.lend(),
            [page.sinks[name], *([outputs[name]] if name in outputs else [])], source_id=name,
        )
        for name in "ab"
    }  # fmt: skip
    return Node(pipelines, close=shared.close), page


def ended(node: Node, found: list[BaseException]) -> None:
    try:
        node.run()
    except SinkError as error:
        found.append(error)


def test_a_page_that_dies_ends_only_runs_that_have_no_other_output() -> None:
    other, found = Keeper("other"), list[BaseException]()
    both, page = paged({"a": other})
    runner = threading.Thread(target=ended, args=(both, found))
    runner.start()
    assert other.found.wait(LONG_S)
    page._served.server._uvicorn.should_exit = True
    until(lambda: both.pipelines["b"].state is RunState.CLOSED)
    until(lambda: any(event.code == "output.away" for event in other.events))
    before = len(other.results)
    until(lambda: len(other.results) > before + 20)
    assert other.healths[-1].parts["outputs"].state == "degraded"
    both.stop()
    runner.join(LONG_S)
    totals = both.totals()
    assert all("live page has ended" in totals[name].errors[0] for name in "ab")
    assert "live page has ended" in str(found[0])
    assert all(map(exact, totals.values()))
