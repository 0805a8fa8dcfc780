"""``drivenet run`` on a GPU, as its users start it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from cli_parts import LONG_S, balanced, line_count, started, stats, wait_until
from onnx_models import palette_model

from drivenet.build.build import build
from drivenet.build.request import BuildRequest

pytestmark = [pytest.mark.gpu("tensorrt"), pytest.mark.timeout(600)]

SOURCE = ("synthetic://96x64@30", "--policy", "every", "--rate", "30", "--headless", "--stats", "s.jsonl")


def test_a_plan_is_built_while_frames_go_on(tmp_path: Path) -> None:
    onnx, told, lines = palette_model(tmp_path), tmp_path / "told", tmp_path / "s.jsonl"
    options = ("--engine", onnx, "--backend", "tensorrt", "--precision", "fp32", "--rebuild")
    with (
        told.open("wb") as stderr,
        started("run", *SOURCE, *options, cwd=tmp_path, stderr=stderr.fileno()) as process,
    ):
        wait_until(lambda: b"takes over" in told.read_bytes() or process.poll() is not None)
        seen = line_count(lines)
        wait_until(lambda: line_count(lines) > seen + 3 or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        assert process.wait(LONG_S) == 0, told.read_text()
    frames, summary = stats(lines.read_text())
    assert balanced(frames, summary)
    assert summary is not None
    assert [f["frame"] for f in frames] == list(range(len(frames)))
    assert (summary["engine"]["backend"], summary["engine"]["before"]["backend"]) == ("tensorrt", "onnxruntime")
    assert summary["engine"]["cuda_graph"] is True


def test_auto_goes_through_the_gpu(tmp_path: Path) -> None:
    onnx = palette_model(tmp_path)
    build(BuildRequest(onnx, "tensorrt", "fp32", options={"argmax": "topk"}))
    options = ("--headless", "--engine", onnx, "--out", "o.mp4", "--stats", "s.jsonl")
    with started("run", "synthetic://960x540@30?frames=60", "--policy", "every", *options, cwd=tmp_path) as process:
        out, err = process.communicate(timeout=LONG_S)
        assert process.returncode == 0, (out, err)
    frames, summary = stats((tmp_path / "s.jsonl").read_text())
    assert balanced(frames, summary)
    assert summary is not None
    assert (len(frames), summary["engine"]["backend"], summary["engine"]["precision"]) == (60, "tensorrt", "fp32")
