"""``drivenet run`` of a recording or several sources has several frames at the engine; one live source has one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_parts import call
from onnx_models import palette_model

from drivenet.cli.served import lanes_of
from drivenet.config import NodeSettings

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
