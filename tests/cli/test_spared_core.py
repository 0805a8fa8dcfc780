"""On two cores the engine of a recorded run leaves one to the encoder; else it has them all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_parts import call
from onnx_models import palette_model

from drivenet.cli.served import spared
from drivenet.config import NodeSettings

OUT = ("o.mp4",)


@pytest.mark.parametrize(
    ("cores", "settings", "threads"),
    [
        (2, NodeSettings(source="drive.mp4", out=OUT), 1),
        (2, NodeSettings(source="folder/", out=("out/",)), 1),
        (2, NodeSettings(source="synthetic://96x64", out=OUT, policy="every"), 1),
        (2, NodeSettings(source="drive.mp4"), None),
        (2, NodeSettings(source="drive.mp4", out=OUT, policy="latest"), None),
        (2, NodeSettings(source="rtsp://camera/1", out=OUT), None),
        (2, NodeSettings(sources=("a.mp4", "b.mp4"), out=OUT), None),
        (1, NodeSettings(source="drive.mp4", out=OUT), None),
        (4, NodeSettings(source="drive.mp4", out=OUT), None),
    ],
)
def test_who_leaves_a_core(
    cores: int, settings: NodeSettings, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivenet.cli.served.physical_cores", lambda: cores)
    assert spared(settings) == threads


@pytest.mark.parametrize(("given", "threads"), [((), 1), (("--threads", "2"), 2)])
def test_a_run_says_how_many_threads_its_engine_has(
    given: tuple[str, ...], threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivenet.cli.served.physical_cores", lambda: 2)
    monkeypatch.chdir(tmp_path)
    command = ("run", "synthetic://96x64@30?frames=3", "--policy", "every", "--out", *OUT, "--stats", "s.jsonl")
    engine = ("--engine", palette_model(tmp_path), "--backend", "onnxruntime")
    assert call(*command, *engine, *given) == 0
    assert json.loads((tmp_path / "s.jsonl").read_text().splitlines()[-1])["engine"]["threads"] == threads
