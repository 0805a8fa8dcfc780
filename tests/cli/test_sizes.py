"""Inputs that are higher than wide, and sizes in the order of before: the model tells which is which."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_parts import call, write_checkpoint, write_clip
from onnx_models import palette_model

from drivenet.cli.sizes import parse_size
from drivenet.engine import open_engine
from drivenet.errors import UsageError


def test_width_comes_first() -> None:
    assert parse_size("512x288") == (288, 512)
    assert parse_size("288x512") == (512, 288)
    assert parse_size(None, (288, 512)) is None
    for wrong in ("", "512", "512x", "512*288", "-1x32", "5²x32", "1" * 5000 + "x32"):
        with pytest.raises(UsageError, match="WIDTHxHEIGHT such as 512x288"):
            parse_size(wrong)


def test_the_other_order_is_told_by_the_model() -> None:
    assert parse_size("288x512", (960, 544), "m") == (512, 288)
    assert parse_size("512x512", (288, 512), "m") == (512, 512)
    assert parse_size("288x512", (256, 256), "m") == (512, 288)
    with pytest.raises(UsageError, match=r"416x736, width x height, for m, whose input is 512x288.*mean 736x416\?"):
        parse_size("416x736", (288, 512), "m")
    with pytest.raises(UsageError, match=r"736x416, width x height, for m, whose input is 288x512.*mean 416x736\?"):
        parse_size("736x416", (512, 288), "m")


def test_a_run_with_a_high_input_is_exported_at_another_one(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
    write_checkpoint(tmp_path / "best.pt", (160, 96))
    out = tmp_path / "high.onnx"
    assert call("export", tmp_path / "best.pt", "--out", out, "--size", "64x128") == 0
    engine = open_engine(out, "onnxruntime")
    assert (engine.spec.input, engine.infer(np.zeros((128, 64, 3), np.uint8)).shape) == ((128, 64), engine.spec.output)
    engine.close()


def test_a_high_model_is_built_and_runs(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    onnx = palette_model(tmp_path, "high", size=(48, 32))
    assert call("build", onnx, "--backend", "openvino", "--precision", "fp32", "--size", "32x48") == 0
    write_clip(tmp_path / "clip.mp4")
    stats = tmp_path / "stats.jsonl"
    words = ("run", tmp_path / "clip.mp4", "--engine", tmp_path / "high-fp32.xml", "--stats", stats, "--headless")
    assert call(*words) == 0
    assert json.loads(stats.read_text().splitlines()[-1])["engine"]["input"] == [48, 32]
