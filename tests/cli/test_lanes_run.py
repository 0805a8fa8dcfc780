"""``drivenet run`` of a recording or several sources has several frames at the engine; one live source has one, or
two where that keeps up with it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from cli_parts import call
from onnx_models import palette_model

from drivenet.artefacts.timings import Timing, read_timings, write_timings
from drivenet.cli.opening import open_engine_of
from drivenet.cli.served import lanes_of
from drivenet.config import NodeSettings
from drivenet.engine.candidates import candidates
from drivenet.engine.laned import Laned
from drivenet.errors import EngineError

OUT = ("o.mp4",)


@pytest.mark.parametrize(
    ("cores", "settings", "lanes"),
    [
        (2, NodeSettings(source="drive.mp4", out=OUT), 2),
        (2, NodeSettings(source="folder/", out=("out/",)), 2),
        (2, NodeSettings(source="drive.mp4"), 2),
        (2, NodeSettings(source="synthetic://96x64", out=OUT, policy="every"), 2),
        (16, NodeSettings(source="drive.mp4", out=OUT), 4),
        (16, NodeSettings(source="drive.mp4", max_frames=3), 3),
        (1, NodeSettings(source="drive.mp4", out=OUT), 1),
        (2, NodeSettings(source="drive.mp4", out=OUT, threads=1), 1),
        (2, NodeSettings(source="drive.mp4", out=OUT, policy="latest"), 1),
        (2, NodeSettings(source="drive.mp4", out=OUT, rate=30.0), 1),
        (2, NodeSettings(source="rtsp://camera/1", out=OUT), 1),
        (2, NodeSettings(source="rtsp://camera/1", policy="every"), 1),
        (2, NodeSettings(source="0", policy="every"), 1),
        (2, NodeSettings(source="http://host/drive.mp4", policy="every"), 2),
        (2, NodeSettings(source="rtsp://camera/1", lanes=2), 2),
        (2, NodeSettings(source="drive.mp4", lanes=1), 1),
        (2, NodeSettings(sources={"a": "rtsp://camera/1"}), 1),
        (2, NodeSettings(sources={"a": "rtsp://camera/1", "b": "rtsp://camera/2"}), 2),
        (2, NodeSettings(sources={"a": "rtsp://camera/1", "b": "rtsp://camera/2"}, budget_ms=50.0), 1),
    ],
)
def test_how_many_frames_are_at_the_engine(
    cores: int, settings: NodeSettings, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivenet.engine.laned.physical_cores", lambda: cores)
    assert lanes_of(settings) == lanes


def test_one_picture_has_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivenet.engine.laned.physical_cores", lambda: 16)
    picture = tmp_path / "one.png"
    picture.touch()
    assert lanes_of(NodeSettings(source=str(picture))) == 1
    assert lanes_of(NodeSettings(source=str(picture), loop=True)) == 4
    assert lanes_of(NodeSettings(source=str(tmp_path))) == 4


@pytest.mark.parametrize(("ms", "lanes"), [(10, 1), (17, 2), (39, 2), (60, 1)])
def test_two_frames_by_the_clock_where_one_at_a_time_is_late(
    ms: float, lanes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivenet.engine.laned.physical_cores", lambda: 4)
    model = palette_model(tmp_path)
    found = candidates(model)
    live = NodeSettings(source="rtsp://camera/1", engine=str(model), out=OUT)
    assert lanes_of(live) == 1  # not measured yet
    rows = tuple(
        Timing(file=str(c.file), backend=c.backend, precision=c.precision, ms=ms + i) for i, c in enumerate(found)
    )
    write_timings(model, read_timings(model, None).model_copy(update={"rows": rows}))
    assert lanes_of(live) == lanes
    assert lanes_of(live.model_copy(update={"backend": found[0].backend})) == lanes
    assert lanes_of(NodeSettings(source="drive.mp4", engine=str(model), stats="s.jsonl", rate=800 / ms)) == 2
    for out in ((), ("mqtt://broker/car", "rtsp://host/seen")):  # whoever looks on wants each result early
        assert lanes_of(live.model_copy(update={"out": out, "stats": "-", "serve": "127.0.0.1:0"})) == 1
    assert lanes_of(live.model_copy(update={"budget_ms": 50.0})) == 1
    assert lanes_of(live.model_copy(update={"threads": 1})) == 1


def test_an_engine_that_is_no_file_is_told_of_live_sources_too(tmp_path: Path) -> None:
    """To look up what was measured of it came before, and read the folder."""
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    live = NodeSettings(source="rtsp://camera/1", out=OUT, engine=str(folder), threads=2)
    with ExitStack() as opened, pytest.raises(EngineError, match=r"folder\.onnx is no file"):
        open_engine_of(live, opened)


def test_all_lanes_are_open_before_a_frame_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivenet.engine.laned.physical_cores", lambda: 2)
    model = palette_model(tmp_path)
    open_lanes = []
    for source in ("synthetic://64x48", "rtsp://camera/1"):
        with ExitStack() as opened:
            settings = NodeSettings(source=source, engine=str(model), backend="onnxruntime", lanes=2, policy="every")
            engine = open_engine_of(settings, opened)
            assert isinstance(engine, Laned)
            open_lanes.append(len(engine._open))
    assert open_lanes == [1, 2]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_recording_gives_the_same_with_lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setattr("drivenet.engine.laned.physical_cores", lambda: 3)
    monkeypatch.chdir(tmp_path)
    model = palette_model(tmp_path)
    found = {}
    for threads in (1, 3):
        stats = tmp_path / f"{threads}.jsonl"
        how = ("--engine", model, "--backend", backend, "--threads", threads, "--policy", "every", "--max-frames", 12)
        assert call("run", "synthetic://192x128@30", *how, "--stats", stats, "--out", f"{threads}.mp4") == 0
        *frames, summary = map(json.loads, stats.read_text().splitlines())
        frames = [line for line in frames if line["type"] == "frame"]
        found[threads] = [
            {k: line[k] for k in ("frame", "groups", "things", "classes") if k in line} for line in frames
        ]
        assert summary["published"] == len(frames) == 12
        assert summary["engine"].get("lanes", 1) == threads
        assert summary["engine"]["threads"] == 1
    assert found[1] == found[3]
