"""How a run is told: the page, another sink, the log and the summary agree, and soon enough."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pipeline_parts import LONG_S, SIZE, Drive, Engine, Keeper, exact

from drivenet.engine.laned import Laned
from drivenet.errors import SinkError
from drivenet.frame import Frame
from drivenet.health import Event, Health, Part
from drivenet.labels import CAMVID
from drivenet.latency import now_ns
from drivenet.overlay import Painter
from drivenet.pipeline import Pipeline
from drivenet.pipeline.health import HealthMonitor
from drivenet.result import Totals
from drivenet.sinks.video import VideoSink
from drivenet.sinks.web import WebSink
from drivenet.sources.base import Source, SourceStatus
from drivenet.wall_clock import WALL

#: From something going wrong to everybody knowing it: 2.3 s by the deadlines, which test_health_deadlines.py asserts by
#: a clock of its own, and more where a machine is busy.
SEEN_WITHIN_S = 10.0


def page() -> WebSink:
    return WebSink(
        "127.0.0.1", 0, token=None, allow_anonymous=False, painter=Painter(CAMVID), source="drive", engine={}
    )


def asked(sink: WebSink, path: str = "healthz") -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{sink.url}{path}", timeout=LONG_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class Run:
    """A pipeline with a page and a second sink, in a thread of its own."""

    def __init__(self, source: Source, engine: Engine, **sink: Any) -> None:
        self.page, self.keeper = page(), Keeper("keeper", overflow="drop", **sink)
        self.pipeline = Pipeline(source, engine, [self.page, self.keeper], policy="latest")
        self.totals: Totals | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.totals = self.pipeline.run()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def end(self) -> Totals:
        self.pipeline.stop()
        self._thread.join(LONG_S)
        return self.totals or self.pipeline.accounting.totals()


@contextmanager
def running(source: Source, engine: Engine, **sink: Any) -> Iterator[Run]:
    run = Run(source, engine, **sink)
    try:
        yield run
    finally:
        run.end()


def first(events: list[Event], code: str) -> Event:
    return next(event for event in events if event.code == code)


def test_a_live_source_that_dies_before_its_first_frame_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "drivenet"), running(Drive(0, "silence", live=True), Engine()) as run:
        until(lambda: asked(run.page)[0] == 503)
        status, told = asked(run.page)
        assert (status, told["state"], told["parts"]["source"]["state"]) == (503, "lost", "lost")
        assert asked(run.page, "readyz")[0] == 503
        until(lambda: any(health.state == "lost" for health in run.keeper.healths))
        until(lambda: run.keeper.events)
        lost = next(health for health in run.keeper.healths if health.state == "lost")
        seen = first(run.keeper.events, "source.lost").at_ns - lost.worst.since_ns
        totals = run.end()
    assert seen / 1e9 < SEEN_WITHIN_S
    assert totals.health["state"] == "lost"
    assert totals.events["source.lost"] == 1
    assert any("source lost" in record.message for record in caplog.records)
    assert not run.keeper.marked_views, "there was no picture to mark"


class Scenery(Drive):
    """Gives pictures with something in them: plain ones are suspect."""

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            image = np.random.default_rng(frame.index).integers(0, 256, frame.image.shape, np.uint8)
            yield Frame(image, frame.index, frame.captured_ns)


@pytest.mark.parametrize("frame", [1, 100])
@pytest.mark.parametrize("lanes", [1, 2])
def test_an_engine_that_hangs_is_stalled(lanes: int, frame: int, caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()
    engine = Laned(Engine(wait=lambda call: call != frame - 1 or gate.wait(LONG_S)), Engine, lanes)
    engine.open_all()
    with (
        caplog.at_level(logging.INFO, "drivenet"),
        running(Scenery(10**9, live=True, gate=lambda _: time.sleep(0.002)), engine, needs_view=True) as run,
    ):
        until(lambda: asked(run.page)[0] == 503)
        assert asked(run.page)[1]["parts"]["engine"]["state"] == "stalled"
        until(lambda: any(event.code == "engine.stalled" for event in run.keeper.events))
        stalled = next(health for health in run.keeper.healths if health.state == "stalled")
        seen = first(run.keeper.events, "engine.stalled").at_ns - stalled.worst.since_ns
        assert seen / 1e9 < SEEN_WITHIN_S
        until(lambda: frame == 1 or run.keeper.marked_views)
        gate.set()
        until(lambda: asked(run.page)[0] == 200)
        totals = run.end()
    assert totals.events["engine.stalled"] == totals.events["engine.ok"] - (frame > 1) == 1
    assert totals.health["state"] == "ok"
    assert any("engine stalled" in record.message and record.levelname == "ERROR" for record in caplog.records)


def test_an_engine_that_never_returns_is_in_the_summary() -> None:
    gate = threading.Event()
    with running(Drive(10**9, live=True), Engine(wait=lambda _: gate.wait(LONG_S))) as run:
        until(lambda: any(health.state == "stalled" for health in run.keeper.healths))
        totals = run.end()
        gate.set()
    assert totals.health["parts"]["engine"]["state"] == "stalled"
    assert exact(totals)


def test_a_page_whose_thread_dies_ends_the_run_and_everybody_knows(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "drivenet"),
        running(Drive(10**9, gate=lambda _: time.sleep(0.01)), Engine()) as run,
    ):
        assert run.keeper.found.wait(LONG_S)
        run.page._served.server._uvicorn.should_exit = True
        assert run.keeper.over.wait(LONG_S)
        totals = run.end()
    assert isinstance(run.error, SinkError)
    assert run.error.exit_code == 5
    assert "live page has ended" in str(run.error)
    assert "live page has ended" in first(run.keeper.events, "outputs.failed").text
    assert run.keeper.totals[0].health["state"] == "failed"
    assert totals.errors == [str(run.error)]
    assert any("live page has ended" in record.message for record in caplog.records)


def test_all_errors_of_a_run_are_told() -> None:
    sinks = [Keeper("a", fail_close=SinkError("a is not whole")), Keeper("b", fail_close=SinkError("b is not whole"))]
    with pytest.raises(SinkError, match="is not whole") as caught:
        Pipeline(Drive(3), Engine(), sinks).run()
    told = [str(error) for error in (caught.value, *caught.value.also)]
    assert sorted(told) == ["a is not whole", "b is not whole"]


class Resized(Drive):
    """Gives frames of another size from the tenth on."""

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            size = SIZE if frame.index < 10 else (SIZE[0] // 2, SIZE[1] // 2)
            yield Frame(np.zeros((*size, 3), np.uint8), frame.index, now_ns())


def test_another_size_is_an_event_and_no_failure() -> None:
    with running(Resized(10**9, live=True, gate=lambda _: time.sleep(0.005)), Engine(), needs_view=True) as run:
        until(lambda: any(event.code == "source.resized" for event in run.keeper.events))
        until(lambda: run.keeper.results[-1].frame.size == (24, 32))
        assert asked(run.page)[0] == 200
    assert "frames are now 32x24" in first(run.keeper.events, "source.resized").text


def test_a_clock_that_is_set_is_an_event_and_times_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WALL, "_wall_ns", time.time_ns)
    with running(Drive(10**9, live=True, gate=lambda _: time.sleep(0.005)), Engine()) as run:
        assert run.keeper.found.wait(LONG_S)
        monkeypatch.setattr(WALL, "_wall_ns", lambda: time.time_ns() + 3600 * 10**9)
        until(lambda: any(event.code == "clock.jumped" for event in run.keeper.events))
        assert abs(WALL.now() - time.time_ns() - 3600 * 10**9) < 10**9
        assert asked(run.page)[0] == 200
    assert "+3600" in first(run.keeper.events, "clock.jumped").text
    monkeypatch.setattr(WALL, "_wall_ns", time.time_ns)
    WALL.check()


class Scripted(Source):
    """A live source whose status a test sets."""

    name, live, fps = "cam", True, 30.0
    now = SourceStatus()

    def status(self) -> SourceStatus:
        return self.now


def test_losses_of_the_source_have_their_reason_and_are_counted() -> None:
    source = Scripted()
    monitor = HealthMonitor(source, "front")
    monitor.source_gave(SIZE)
    monitor.published(now_ns())
    assert monitor.check()[0].state == "ok"
    assert monitor.health.cause == ""
    source.now = SourceStatus(0, "rtsp://user:pw@cam refuses", away=True, cause="unauthorised")
    health, events = monitor.check()
    assert health.to_dict()["cause"] == "unauthorised"
    assert health.last_error == "unauthorised: rtsp://***@cam refuses"
    assert [(event.code, event.source_id) for event in events] == [("source.away", "front")]
    source.now = SourceStatus(1, "rtsp://user:pw@cam refuses")
    health, events = monitor.check()
    assert (health.reconnects, [event.code for event in events]) == (1, ["source.reconnected"])


def test_every_output_can_write_what_is_told_of_a_file_whose_name_is_no_text() -> None:
    monitor = HealthMonitor(Drive(3))
    monitor.report("picture", "source", "suspect", "a\udcff.mp4 is black")
    monitor.failed("outputs", "cannot write a\udcff.mkv\nno space")
    health, events = monitor.check()
    assert [health.parts[name].reason for name in ("source", "outputs")] == [
        "a?.mp4 is black",
        "cannot write a?.mkv no space",
    ]
    assert "cannot write a?.mkv no space" in [event.text for event in events]


def test_what_others_report_counts_until_it_is_withdrawn() -> None:
    monitor = HealthMonitor(Scripted())
    monitor.source_gave(SIZE)
    monitor.published(now_ns())
    monitor.check()
    monitor.report("frozen", "source", "suspect", "the same picture for 9 s")
    health, events = monitor.check()
    assert (health.state, health.reason) == ("suspect", "the same picture for 9 s")
    assert [event.code for event in events] == ["source.suspect"]
    monitor.withdraw("frozen")
    health, events = monitor.check()
    assert (health.state, [event.code for event in events]) == ("ok", ["source.ok"])


def test_a_whole_is_as_well_as_its_worst_part_and_keeps_the_former_name() -> None:
    health = Health(
        {"source": Part("ok", 5), "engine": Part("stalled", now_ns(), "hangs"), "outputs": Part("degraded", 9)}
    )
    assert (health.state, health.reason) == ("stalled", "hangs")
    told = health.to_dict()
    assert (told["state"], told["former"]) == ("stalled", "stale")
    assert told["parts"]["outputs"]["state"] == "degraded"


def test_pictures_of_a_recording_are_its_frames_and_the_marked_ones_exactly(tmp_path: Path) -> None:
    source = Scenery(5, "silence", live=True)
    pipeline = Pipeline(source, Engine(), [VideoSink(tmp_path / "drive.mkv")], policy="latest")
    ending = threading.Thread(target=lambda: (until(lambda: marked(pipeline) >= 3), pipeline.stop()))
    ending.start()
    totals = pipeline.run()
    ending.join(LONG_S)
    counts = totals.sinks["video"]
    with av.open(str(tmp_path / "drive.mkv")) as container:
        assert sum(1 for _ in container.decode(video=0)) == counts["published"] + counts["marked"]
    assert counts["marked"] >= 3
    assert counts["published"] == totals.published
    assert exact(totals)


def marked(pipeline: Pipeline) -> int:
    return pipeline.accounting.totals().sinks["video"].get("marked", 0)
