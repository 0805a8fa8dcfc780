"""Rebuilding while frames go on: no frame is lost, the swap changes no id, and a failed build is told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import SIZE, palette_graph, palette_model, palette_spec, sure_model, sure_of, write_onnx

from drivenet.artefacts.passport import passport_path, read_passport
from drivenet.build import rebuild
from drivenet.build.build import build
from drivenet.build.rebuild import RebuildingEngine, open_or_rebuild
from drivenet.build.rebuild_request import request_for
from drivenet.build.request import BuildRequest
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.errors import EngineError, UsageError
from drivenet.labels import CAMVID

IMAGES = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), np.uint8)
LONG_S = 90


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    return palette_model(tmp_path)


def test_frames_go_on_and_the_artefact_takes_over(onnx: Path) -> None:
    told: list[str] = []
    engine = RebuildingEngine(BuildRequest(onnx, "openvino", "fp32"), threads=1, tell=told.append)
    assert engine.backend == "onnxruntime"
    assert "before" not in engine.describe()
    before = [engine.infer(image) for image in IMAGES]
    assert engine.built(LONG_S)
    after = [engine.infer(image) for image in IMAGES]
    np.testing.assert_array_equal(before, after)
    described = engine.describe()
    assert (engine.backend, described["backend"]) == ("openvino", "openvino")
    assert described["before"] == {"backend": "onnxruntime", "precision": "fp32", "frames": len(IMAGES)}
    assert engine.file.endswith("palette-fp32.xml")
    assert told == [f"openvino fp32 takes over after {len(IMAGES)} frames: {engine.file}"]
    engine.close()
    engine.close()


def test_threads_may_share_it_while_the_engines_are_swapped(onnx: Path) -> None:
    engine = RebuildingEngine(BuildRequest(onnx, "openvino", "fp32"), threads=1)
    wanted = engine.infer(IMAGES[0])
    assert engine.built(LONG_S)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: engine.infer(IMAGES[0]), range(40)):
            np.testing.assert_array_equal(found, wanted)
    before = engine.describe()["before"]
    assert isinstance(before, dict)
    assert before["frames"] == 1
    engine.close()


def test_confidence_comes_from_whoever_serves(onnx: Path) -> None:
    request = BuildRequest(sure_model(onnx.parent), "openvino", "fp32", accept_parity=True)
    engine = RebuildingEngine(request, threads=1)
    for backend in ("onnxruntime", "openvino"):
        _, confidence = engine.infer_confident(IMAGES[0])
        assert engine.backend == backend
        assert confidence is not None
        assert np.abs(confidence - 255 * sure_of(IMAGES[0])).max() < 0.6
        assert engine.built(LONG_S)
    engine.close()


def test_a_failed_build_is_told_and_the_onnx_serves_on(onnx: Path) -> None:
    told: list[str] = []
    engine = RebuildingEngine(BuildRequest(onnx, "openvino", "int8"), threads=1, tell=told.append)
    assert engine.built(LONG_S)
    engine.infer(IMAGES[0])
    assert engine.backend == "onnxruntime"
    assert len(told) == 1
    assert told[0].startswith("the build failed, onnxruntime serves on: precision int8")
    engine.close()


def test_a_build_below_the_gate_is_told_and_the_onnx_serves_on(onnx: Path, tmp_path: Path) -> None:
    told: list[str] = []
    turned = CAMVID.palette[1:] + CAMVID.palette[:1]
    other = write_onnx(tmp_path / "other.onnx", palette_graph(turned), palette_spec(name="other"))
    there = sorted(tmp_path.iterdir())
    engine = RebuildingEngine(BuildRequest(onnx, "openvino", "fp32", reference=other), threads=1, tell=told.append)
    assert engine.built(LONG_S)
    engine.infer(IMAGES[0])
    assert engine.backend == "onnxruntime"
    (line,) = told
    assert line.startswith("the build failed, onnxruntime serves on: palette-fp32.xml falls short of its reference")
    assert "\n" not in line
    engine.close()
    assert sorted(tmp_path.iterdir()) == there


def test_closing_ends_the_build_and_leaves_nothing(onnx: Path) -> None:
    before = sorted(onnx.parent.iterdir())
    engine = RebuildingEngine(BuildRequest(onnx, "openvino", "fp32"), threads=1)
    leftover = onnx.parent / f".build-{engine._process.pid}-left"
    leftover.mkdir()  # as a build that is killed leaves it
    engine.close()
    assert not engine._process.is_alive()
    assert sorted(onnx.parent.iterdir()) == before


def test_closing_does_not_wait_for_an_artefact_that_is_being_opened(
    onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on, opened = threading.Event(), threading.Event(), []

    def slowly(*arguments: Any, **options: Any) -> Engine:
        opened.append(open_engine(*arguments, **options))
        if len(opened) == 2:  # after the ONNX
            opening.set()
            assert go_on.wait(LONG_S)
        return opened[-1]

    monkeypatch.setattr(rebuild, "open_engine", slowly)
    monkeypatch.setattr(rebuild, "_PATIENCE_S", 0.01)
    engine = RebuildingEngine(BuildRequest(onnx, "openvino", "fp32"), threads=1)
    assert opening.wait(LONG_S)
    engine.close()
    go_on.set()
    assert engine.built(LONG_S)
    with pytest.raises(EngineError, match="is closed"):
        opened[1].infer(IMAGES[0])


def test_whatever_goes_wrong_when_it_is_opened_is_told(onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    engine = RebuildingEngine(BuildRequest(onnx, "openvino", "fp32"), threads=1, tell=told.append)

    def fails(*_: Any, **__: Any) -> Engine:
        raise MemoryError("no room")

    monkeypatch.setattr(rebuild, "open_engine", fails)
    assert engine.built(LONG_S)
    engine.infer(IMAGES[0])
    assert told == ["what was built cannot be opened, onnxruntime serves on: MemoryError: no room"]
    engine.close()


def test_only_what_cannot_be_used_is_built_again(onnx: Path) -> None:
    told: list[str] = []
    request = BuildRequest(onnx, "openvino", "fp32")
    built = build(request)
    good = open_or_rebuild(request, 1, told.append)
    assert (good.file, told) == (str(built.file), [])
    good.close()
    passport_path(built.file).unlink()
    engine = open_or_rebuild(request, 1, told.append)
    assert isinstance(engine, RebuildingEngine)
    assert told == [f"{built.file} has no passport; it is built in the background while onnxruntime serves"]
    assert engine.built(LONG_S)
    engine.infer(IMAGES[0])
    assert engine.backend == "openvino"
    engine.close()
    open_engine(built.file).close()


def test_a_request_is_what_the_artefact_was_built_with(onnx: Path) -> None:
    built = build(BuildRequest(onnx, "openvino", "fp32")).file
    options = {"calibration": "pictures", "floats": "fp32"}
    passport = read_passport(built).model_copy(update={"options": options})
    passport_path(built).write_text(passport.sealed().to_json())
    again = BuildRequest(onnx, "openvino", "fp32", calibration=Path("pictures"), options={"floats": "fp32"})
    assert request_for(onnx, "openvino", "fp32") == again
    assert request_for(built) == again
    passport_path(built).write_text(passport.to_json())  # its seal no longer fits
    assert request_for(built, "openvino", "fp32") == BuildRequest(onnx, "openvino", "fp32")


def test_where_there_is_nothing_to_build(onnx: Path) -> None:
    artefact = onnx.with_name("palette-fp32.xml")
    for file, backend, precision, told in (
        (onnx, "onnxruntime", "auto", "a rebuild for the backend onnxruntime; expected openvino or tensorrt"),
        (None, "null", "auto", "a rebuild for the backend null"),
        (artefact, "tensorrt", "auto", "palette-fp32.xml for tensorrt in auto"),
        (artefact, "openvino", "bf16", "palette-fp32.xml for openvino in bf16"),
        (
            onnx.with_name("other-fp32.xml"),
            "auto",
            "auto",
            "cannot build .*other-fp32.xml again; expected .*other.onnx",
        ),
        (onnx, "openvino", "int8", "precision int8 from"),
    ):
        with pytest.raises(UsageError, match=told):
            request_for(file, backend, precision)
