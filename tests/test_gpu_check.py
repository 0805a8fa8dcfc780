"""The tool for a GPU session, on TensorRT's double: what it writes, also when time runs out or something fails."""

from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from driver_double import RecordingDriver
from onnx_models import palette_model
from tensorrt_double import GPU, TensorRt

from drivenet.build import tensorrt as builder
from drivenet.engine.tensorrt import engine as tensorrt
from drivenet.engine.tensorrt import lane as tensorrt_lane
from drivenet.engine.tensorrt.engine import TensorRtEngine
from drivenet.errors import EngineError

TOOL = Path(__file__).parents[1] / "tools" / "gpu_check.py"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    double = TensorRt("8.5", RecordingDriver())
    for module in (tensorrt, builder):
        monkeypatch.setattr(module, "require_gpu", lambda: GPU)
        monkeypatch.setattr(module, "import_tensorrt", lambda: double)
        monkeypatch.setattr(module, "find_driver", lambda: RecordingDriver, raising=False)
        monkeypatch.setattr(module, "open_driver", lambda: RecordingDriver.beside(double))
    monkeypatch.setattr(tensorrt_lane, "capture", lambda stream, enqueue: (None, "not in this test"))
    spec = importlib.util.spec_from_file_location("gpu_check", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(importlib.import_module("sys").modules, "gpu_check", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "examine", list)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield module
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run(tool: ModuleType, folder: Path, *options: object) -> tuple[int, Any]:
    out = folder / "out.json"
    words = [palette_model(folder), "--n", 8, "--out", out, "--golden", folder / "none.npz", *options]
    result = CliRunner().invoke(tool.main, [str(word) for word in words])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, json.loads(out.read_text(encoding="utf-8"))


def test_every_row_is_built_held_against_its_reference_and_timed(tool: ModuleType, tmp_path: Path) -> None:
    code, report = run(tool, tmp_path)
    assert (code, report["errors"]) == (0, [])
    rows = report["rows"]
    assert [(r["backend"], r["precision"]) for r in rows] == [
        ("onnxruntime", "fp32"), ("tensorrt", "fp16"), ("tensorrt", "fp32"),
    ]  # fmt: skip
    assert all({"latency_ms", "fps", "throughput", "golden"} <= row.keys() for row in rows)
    assert [row["throughput"]["contexts"] for row in rows] == [1, 2, 2]
    assert {"argmax", "ms_topk", "ms_select", "parity", "build_seconds", "cuda_graph"} <= rows[1].keys()


def test_what_fails_is_a_row_and_nothing_is_lost(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("of the bindings")

    monkeypatch.setattr(builder, "lower_argmax", refuse)
    code, report = run(tool, tmp_path)
    assert code == 1
    assert [row.get("error") for row in report["rows"]] == [None, *["RuntimeError: of the bindings"] * 2]
    assert "latency_ms" in report["rows"][0]


def test_rows_are_written_though_the_timing_fails(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor can anything be closed when the device is lost."""

    def lost(self: TensorRtEngine) -> None:
        raise EngineError("CUDA failed at the context: it is gone")

    def refuse(*_: object, **__: object) -> None:
        monkeypatch.setattr(TensorRtEngine, "close", lost)
        raise RuntimeError("the device fell off the bus")

    monkeypatch.setattr(tool, "throughput", refuse)
    code, report = run(tool, tmp_path, "--argmax", "select")
    assert code == 1
    assert report["errors"] == ["timing: RuntimeError: the device fell off the bus"]
    assert [row.get("argmax") for row in report["rows"]] == [None, "select", "select"]
    assert all("latency_ms" in row for row in report["rows"])


def test_out_of_time_is_said(tool: ModuleType, tmp_path: Path) -> None:
    code, report = run(tool, tmp_path, "--minutes", 1e-9)
    assert code == 1
    assert {row["error"] for row in report["rows"]} == {"not tried: out of time"}
