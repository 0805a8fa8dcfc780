"""What a pipeline may be given, and how often it runs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pipeline_parts import LONG_S, Drive, Engine, Keeper

from drivenet.errors import UsageError
from drivenet.pipeline import Pipeline
from drivenet.stages import Stage

pytestmark = pytest.mark.usefixtures("nothing_left_running")


def test_a_pipeline_runs_once() -> None:
    running, refused = threading.Event(), threading.Event()
    source, engine, sink = Drive(5), Engine(wait=lambda _: (running.set(), refused.wait(LONG_S))), Keeper()
    pipeline = Pipeline(source, engine, [sink], policy="every")

    def again() -> None:
        assert running.wait(LONG_S)
        with pytest.raises(UsageError, match="runs or has run"):
            pipeline.run()
        refused.set()

    other = threading.Thread(target=again)
    other.start()
    totals = pipeline.run()
    other.join(LONG_S)
    with pytest.raises(UsageError, match="runs or has run"):
        pipeline.run()
    assert (sink.indices, totals.captured, len(sink.totals)) == (list(range(5)), 5, 1)
    assert (source.times_closed, engine.times_closed) == (1, 1)


@pytest.mark.parametrize("frames", [0, -1])
def test_fewer_frames_than_one(frames: int) -> None:
    with pytest.raises(UsageError, match=f"max_frames {frames}; expected at least 1"):
        Pipeline(Drive(1), Engine(), [], max_frames=frames)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"source": "clip.mp4"}, r"^source 'clip\.mp4'; expected a Source; open_source\(\.\.\.\) gives one$"),
        ({"source": "rtsp://me:pw@host/1"}, r"^source 'rtsp://\*\*\*@host/1'; expected a Source"),
        ({"source": Path("clip.mp4")}, r"^source 'clip\.mp4'; expected a Source"),
        ({"engine": "fast"}, r"^engine 'fast'; expected an Engine; open_engine\(\.\.\.\) gives one$"),
        ({"engine": None}, "^engine of the type NoneType; expected an Engine"),
        ({"engine": Engine}, "^engine the class Engine; expected an Engine"),
        ({"sinks": ["o.mp4"]}, r"^sink 'o\.mp4'; expected a Sink; open_sink\(\.\.\.\) gives one$"),
        ({"sinks": "o.mp4"}, r"^sinks 'o\.mp4'; expected a list of Sinks; put it in \[ \]$"),
        ({"sinks": Keeper()}, "^sinks of the type Keeper; expected a list of Sinks"),
        ({"stages": [Stage]}, r"^stage the class Stage; expected a Stage; Stage\(\.\.\.\) gives one$"),
        ({"stages": [len]}, r"^stage of the type builtin_function_or_method; expected a Stage"),
    ],
)
def test_what_would_open_a_part_is_none(given: dict[str, object], told: str) -> None:
    parts: dict[str, object] = {"source": Drive(1), "engine": Engine(), "sinks": []} | given
    with pytest.raises(UsageError, match=told):
        Pipeline(**parts)  # type: ignore[arg-type]


def test_without_sinks_it_measures_all_the_same() -> None:
    totals = Pipeline(Drive(5), Engine(), []).run()
    assert totals.published == totals.latency.by_stage["infer"].n == 5


def test_policies_by_default() -> None:
    assert Pipeline(Drive(1, live=True), Engine(), []).policy == "latest"
    assert Pipeline(Drive(1), Engine(), []).policy == "every"
    with pytest.raises(UsageError, match="did you mean every"):
        Pipeline(Drive(1), Engine(), [], policy="evry")
