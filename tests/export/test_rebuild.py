"""Rebuilding while frames go on: no frame is lost, the swap changes no id, and a failed build is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_models import SIZE, palette_model

from drivenet.engine import open_engine
from drivenet.engine.passport import passport_path
from drivenet.errors import UsageError
from drivenet.export.build import build
from drivenet.export.rebuild import RebuildingEngine, open_or_rebuild
from drivenet.export.request import BuildRequest

IMAGES = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), np.uint8)


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    pytest.importorskip("openvino")
    return palette_model(tmp_path)


def test_frames_go_on_and_the_artefact_takes_over(onnx: Path) -> None:
    told: list[str] = []
    engine = RebuildingEngine(BuildRequest(onnx, "openvino", "fp32"), threads=1, tell=told.append)
    assert engine.backend == "onnxruntime"
    before = [engine.infer(image) for image in IMAGES]
    assert engine.built(60)
    after = [engine.infer(image) for image in IMAGES]
    np.testing.assert_array_equal(before, after)
    assert (engine.backend, engine.describe()["backend"]) == ("openvino", "openvino")
    assert engine.file.endswith("palette-fp32.xml")
    assert told == [f"openvino fp32 takes over: {engine.file}"]
    engine.close()
    engine.close()


def test_a_failed_build_is_told_and_the_onnx_serves_on(onnx: Path) -> None:
    told: list[str] = []
    engine = RebuildingEngine(BuildRequest(onnx, "openvino", "int8"), threads=1, tell=told.append)
    assert engine.built(60)
    engine.infer(IMAGES[0])
    assert engine.backend == "onnxruntime"
    assert "precision int8" in told[0]
    engine.close()


def test_closing_ends_the_build(onnx: Path) -> None:
    engine = RebuildingEngine(BuildRequest(onnx, "openvino", "fp32"), threads=1)
    engine.close()
    assert not engine._process.is_alive()


def test_only_what_cannot_be_used_is_built_again(onnx: Path) -> None:
    told: list[str] = []
    request = BuildRequest(onnx, "openvino", "bf16", accept_parity=True)
    try:
        built = build(request)
    except UsageError as error:
        pytest.skip(f"bf16 cannot be built here: {error}")
    good = open_or_rebuild(request, 1, told.append)
    assert (good.file, told) == (str(built.file), [])
    good.close()
    passport_path(built.file).unlink()
    engine = open_or_rebuild(request, 1, told.append)
    assert isinstance(engine, RebuildingEngine)
    assert "has no passport" in told[0]
    assert engine.built(60)
    engine.infer(IMAGES[0])
    assert engine.precision == "bf16"
    engine.close()
    open_engine(built.file).close()
