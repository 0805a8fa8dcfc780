"""What reaches the sinks: real stats and recordings, honest times, the mark of a lost source."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from onnx_models import palette_model
from pipeline_parts import LONG_S, SIZE, Drive, Engine, Keeper

from drivenet.engine import open_engine
from drivenet.errors import SinkError
from drivenet.latency import STAGES
from drivenet.overlay import Painter
from drivenet.pipeline import POLICIES, Pipeline
from drivenet.result import Result, Totals
from drivenet.sinks.jsonl import JsonlSink
from drivenet.sinks.video import VideoSink
from drivenet.sources import open_source


def lines(path: Path) -> tuple[list[dict], dict]:
    """Frame lines and summary of a stats file; on a busy machine there are events too."""
    *found, summary = (json.loads(line) for line in path.read_text().splitlines())
    assert {f["type"] for f in found} <= {"frame", "event"}
    assert summary["type"] == "summary"
    return [f for f in found if f["type"] == "frame"], summary


def decoded(path: Path) -> list[np.ndarray]:
    """The pictures of a recording."""
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_replay_with_a_real_engine_adds_up(tmp_path: Path, policy: str) -> None:
    source = open_source("synthetic://96x64@30?frames=40", paced=False, rate=30.0)
    engine = open_engine(palette_model(tmp_path), "onnxruntime", threads=1)
    sinks = [VideoSink(tmp_path / "o.mp4", fps=30.0), JsonlSink(tmp_path / "s.jsonl")]
    totals = Pipeline(source, engine, sinks, policy=policy).run()
    frames, summary = lines(tmp_path / "s.jsonl")
    assert summary == json.loads(json.dumps(totals.to_dict()))
    assert summary["captured"] == 40 == summary["published"] + sum(summary["dropped"].values())
    assert len(frames) == summary["published"] == len(decoded(tmp_path / "o.mp4"))
    for frame in frames:
        assert min(frame["stages_ms"].values()) >= 0
        assert frame["end_to_end_ms"] >= sum(frame["stages_ms"].values()) - 1
    end_to_end = summary["latency_ms"]["end_to_end"]
    assert end_to_end["n"] == len(frames)
    assert end_to_end["max"] == max(f["end_to_end_ms"] for f in frames)
    dues = np.diff([f["captured_ns"] for f in frames]) / np.diff([f["frame"] for f in frames])
    assert np.allclose(dues, 1e9 / 30, atol=2), "latency counts from the due time"
    if policy == "every":
        assert [f["frame"] for f in frames] == list(range(40))


def test_a_sink_cannot_draw_on_what_the_others_get() -> None:
    class Draws(Keeper):
        def publish(self, result: Result) -> None:
            cv2.rectangle(result.frame.image, (0, 0), (9, 9), (0, 0, 255), -1)

    other = Keeper("other")
    with pytest.raises(SinkError, match=r"read-?only|readonly"):
        Pipeline(Drive(2), Engine(), [Draws("draws"), other]).run()
    assert all(np.ptp(result.frame.image) == 0 for result in other.results)


def test_every_sink_gets_the_same_view_and_recorders_the_last_times() -> None:
    class Recorder(Keeper):
        def publish(self, result: Result) -> None:
            assert list(result.timeline.stages_ms()) == list(STAGES)
            super().publish(result)

    recorder, a, b = Recorder("r", records=True), Keeper("a", needs_view=True), Keeper("b")
    Pipeline(Drive(3), Engine(), [recorder, a, b]).run()
    for ours, other, recorded in zip(a.results, b.results, recorder.results, strict=True):
        assert ours.view is other.view is recorded.view is not None
        assert "publish" not in ours.timeline.stages_ms(), "what a sink was given never changes"
        assert ours.view.shape == (*SIZE, 3)
        assert not np.shares_memory(ours.view, ours.frame.image)


def test_nothing_is_drawn_that_nobody_asked_for() -> None:
    class NeverDraws(Painter):
        def draw(self, *_: object) -> np.ndarray:
            raise AssertionError("drew")

    engine, sink = Engine(), Keeper()
    Pipeline(Drive(3), engine, [sink], painter=NeverDraws(engine.spec.label_set)).run()
    assert [r.view for r in sink.results] == [None] * 3


@pytest.fixture
def quick_to_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source is missed after a moment, where people wait for a second."""
    monkeypatch.setattr("drivenet.pipeline.health.LOST_AFTER_S", 0.01)
    monkeypatch.setattr("drivenet.pipeline.pipeline._TICK_S", 0.01)
    monkeypatch.setattr("drivenet.pipeline.pipeline._CHECK_NS", 0)


@pytest.mark.usefixtures("quick_to_miss")
@pytest.mark.parametrize("needs_view", [True, False])
def test_a_live_source_that_falls_silent_is_marked_and_resumes(tmp_path: Path, needs_view: bool) -> None:
    keeper = Keeper(needs_view=needs_view)
    source = Drive(6, live=True, gate=lambda n: n != 3 or keeper.lost_told.wait(LONG_S))
    sinks: list = [keeper, VideoSink(tmp_path / "o.mkv")] if needs_view else [keeper]
    totals = Pipeline(source, Engine(), sinks, policy="every").run()
    assert keeper.indices == list(range(6)), "it resumes, and a marked view is no frame"
    assert totals.published == 6
    lost = [health for health in keeper.healths if health.state == "lost"]
    assert all(health.seconds() > 0.01 and health.parts["engine"].state == "ok" for health in lost)
    assert (len(keeper.marked_views) > 0) is needs_view
    for view, health in keeper.marked_views:
        assert view.shape == (*SIZE, 3)
        assert health.state == "lost"
        top = view[: SIZE[0] // 8].astype(int)
        assert (np.ptp(top, axis=2) == 0).all(), "greyed"
        assert (np.ptp(view.astype(int), axis=2) > 100).any(), "with a red bar"
    if needs_view:
        recorded = decoded(tmp_path / "o.mkv")
        assert len(recorded) >= 6 + 1
        assert any(np.ptp(picture.astype(int), axis=2)[SIZE[0] // 2].mean() > 50 for picture in recorded)


@pytest.mark.usefixtures("quick_to_miss")
def test_waiting_for_a_slow_engine_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The publishing thread looks at the source many times while the engine holds everything up."""
    monkeypatch.setattr("drivenet.pipeline.pipeline._STATUS_NS", 0)
    looks = threading.Semaphore(0)

    class Statuses(Keeper):
        def status(self, totals: Totals) -> None:
            looks.release()

    def wait(call: int) -> None:
        if call == 1:
            for _ in range(20):
                assert looks.acquire(timeout=LONG_S)

    sink = Statuses(needs_view=True)
    Pipeline(Drive(20, live=True), Engine(wait=wait), [sink], policy="every").run()
    assert sink.marked_views == []
    assert not any(health.state == "lost" for health in sink.healths)
    assert len(sink.results) == 20


def test_the_running_totals_are_reported() -> None:
    seen: list[Totals] = []
    Pipeline(Drive(3), Engine(), [sink := Keeper()], report=seen.append).run()
    assert seen
    assert len(seen) == len(sink.statuses)
    assert all(s.captured >= s.published for s in seen)
