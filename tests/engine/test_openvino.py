"""The OpenVINO engine on real models: the same ids as ONNX Runtime, the precision that it states, no silent change."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx_models import SIZE, paint, palette_graph, palette_model, palette_spec, sure_model, write_onnx

from drivenet.engine import open_engine
from drivenet.engine.openvino import engine as openvino_engine
from drivenet.engine.openvino.engine import OpenVinoEngine
from drivenet.engine.openvino.model import CACHE_VARIABLE
from drivenet.errors import EngineError, ModelSpecError, UsageError
from drivenet.host.cpu import physical_cores
from drivenet.host.cpu_features import cpu_features, native_precisions
from drivenet.labels import CAMVID, CITYSCAPES


@pytest.fixture(autouse=True)
def _openvino() -> None:
    pytest.importorskip("openvino")


@pytest.mark.parametrize(
    "call", ["drivenet.engine.openvino.model.import_openvino()", "drivenet.doctor.libraries.check_openvino()"]
)
def test_nobody_is_told_that_openvino_was_imported(call: str) -> None:
    pytest.importorskip("openvino_telemetry")
    program = (
        f"import importlib, sys; name = '{call}'.rpartition('.')[0]; drivenet = importlib.import_module('drivenet')\n"
        f"importlib.import_module(name); {call}; print('openvino_telemetry' in sys.modules); import openvino_telemetry"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return palette_model(tmp_path)


def test_gives_the_ids_that_the_graph_computes(file: Path) -> None:
    ids = np.random.default_rng(0).integers(0, len(CAMVID), (SIZE[0] // 2, SIZE[1] // 2), np.uint8)
    image = paint(ids.repeat(2, 0).repeat(2, 1))
    engine = open_engine(file, "openvino")
    first = engine.infer(image)
    np.testing.assert_array_equal(first, ids)
    np.testing.assert_array_equal(engine.infer(image[:, ::-1]), engine.infer(np.ascontiguousarray(image[:, ::-1])))
    np.testing.assert_array_equal(first, ids)
    first[:] = 7
    np.testing.assert_array_equal(engine.infer(image), ids)
    engine.close()
    assert (first == 7).all()
    with pytest.raises(EngineError, match="is closed"):
        engine.infer(image)


def test_says_what_it_computes_in_and_with_how_many_threads(file: Path) -> None:
    described = open_engine(file, "openvino").describe()
    assert (described["backend"], described["precision"], described["threads"]) == (
        "openvino",
        "fp32",
        physical_cores(),
    )
    assert open_engine(file, "openvino", threads=1).describe()["threads"] == 1


def test_its_threads_may_go_to_any_core(file: Path) -> None:
    """Kept on the first one, it waits for whatever else is at work there while others are idle."""
    engine = OpenVinoEngine(file, threads=1)
    assert engine._request.request.get_compiled_model().get_property("ENABLE_CPU_PINNING") is False
    engine.close()


def test_tells_the_threads_that_it_has_and_not_those_that_were_asked_for(file: Path) -> None:
    """More than there are processors is nothing that OpenVINO gives."""
    many = 64 * (os.cpu_count() or 1)
    engine = open_engine(file, "openvino", threads=many)
    assert 1 <= int(str(engine.describe()["threads"])) < many


def test_another_precision_must_be_built_first(file: Path) -> None:
    build = r"drivenet build .*palette\.onnx --backend openvino --precision bf16"
    with pytest.raises(UsageError, match=build if "bf16" in native_precisions() else "bf16 on .*, which lacks"):
        open_engine(file, "openvino", "bf16")


def test_int8_of_a_float_model_is_no_matter_of_a_build(file: Path) -> None:
    """The build would refuse it."""
    with pytest.raises(UsageError, match="expected an int8 engine; drivenet models lists those here") as refused:
        open_engine(file, "openvino", "int8")
    assert "drivenet build" not in str(refused.value)


def test_refuses_what_is_no_model_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no engine file"):
        OpenVinoEngine(None)
    with pytest.raises(EngineError, match="no engine"):
        OpenVinoEngine(tmp_path / "nothing.onnx")
    with pytest.raises(ModelSpecError, match="of another program"):
        OpenVinoEngine(write_onnx(tmp_path / "bare.onnx", palette_graph(), None))
    (tmp_path / "bare.xml").write_text("<net/>", encoding="utf-8")
    with pytest.raises(EngineError, match="has no passport"):
        OpenVinoEngine(tmp_path / "bare.xml")
    odd = write_onnx(tmp_path / "odd.onnx", palette_graph(CITYSCAPES.palette), palette_spec())
    with pytest.raises(EngineError, match=r"gave class id 1\d"):
        OpenVinoEngine(odd)


def test_an_int8_label_on_a_float_network_is_found_out(tmp_path: Path) -> None:
    if "int8" not in native_precisions():
        pytest.skip("this processor lacks VNNI")
    with pytest.raises(EngineError, match=r"computes the layers of .* in f32; expected int8"):
        OpenVinoEngine(palette_model(tmp_path, precision="int8"))


def test_keeps_compiled_models_where_it_is_told(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    open_engine(file, "openvino").close()
    assert list((tmp_path / "cache").iterdir())
    open_engine(file, "openvino").close()


def test_prints_nothing(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_engine(file, "openvino").close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("line", "precisions", "features"),
    [
        ("flags\t: fpu avx2", ("fp32",), ()),
        ("flags\t: avx512_bf16 avx512_vnni", ("fp32", "bf16", "int8"), ("avx512_bf16", "avx512_vnni")),
        ("flags\t: avx_vnni", ("fp32", "int8"), ("avx_vnni",)),
        ("Features\t: fp asimd asimdhp asimddp", ("fp32", "fp16", "int8"), ("asimddp", "asimdhp")),
        ("model name\t: bf16", ("fp32",), ()),
    ],
)
def test_precisions_are_read_from_the_processor(
    tmp_path: Path, line: str, precisions: tuple[str, ...], features: tuple[str, ...]
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n", encoding="utf-8")
    assert native_precisions(tmp_path) == precisions
    assert cpu_features(tmp_path) == features


def test_a_processor_that_does_not_tell_has_fp32(tmp_path: Path) -> None:
    assert native_precisions(tmp_path) == ("fp32",)


def test_one_thread_compiles_infers_and_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO keeps something for any other thread, and aborts if that ends while the network is released."""
    at: dict[str, list[int]] = {"compile": [], "infer": [], "release": []}

    class Watched:
        def __init__(self, request: Any) -> None:
            self._request = request

        def infer(self, *arguments: Any, **options: Any) -> Any:
            at["infer"].append(threading.get_native_id())
            return self._request.infer(*arguments, **options)

        def __del__(self) -> None:
            at["release"].append(threading.get_native_id())

    compile_model = openvino_engine.compile_model

    def compiled(*arguments: Any) -> Any:
        at["compile"].append(threading.get_native_id())
        model = compile_model(*arguments)
        return SimpleNamespace(
            get_property=model.get_property,
            get_runtime_model=model.get_runtime_model,
            outputs=model.outputs,
            create_infer_request=lambda: Watched(model.create_infer_request()),
        )

    monkeypatch.setattr(openvino_engine, "compile_model", compiled)
    engine = open_engine(sure_model(tmp_path), "openvino")
    callers = [threading.Thread(target=engine.infer, args=(np.zeros((*SIZE, 3), np.uint8),)) for _ in range(3)]
    for caller in callers:
        caller.start()
        caller.join()
    engine.infer_confident(np.zeros((*SIZE, 3), np.uint8))
    engine.close()
    assert (len(at["compile"]), len(at["release"])) == (2, 2)
    assert len(at["infer"]) > len(callers)
    assert {number for numbers in at.values() for number in numbers} == {engine.worker}
    assert engine.worker != threading.get_native_id()
    assert not any(thread.native_id == engine.worker for thread in threading.enumerate())


def test_a_network_that_does_not_compile_leaves_no_thread(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> Any:
        raise EngineError("it does not compile")

    monkeypatch.setattr(openvino_engine, "compile_model", refuses)
    with pytest.raises(EngineError, match="does not compile"):
        open_engine(file, "openvino")
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("openvino")]
