"""The TensorRT runner against a recording double that lacks what the real bindings of 8.5, 10 and 11 lack."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import palette_model, things_model
from tensorrt_double import Context, CudaEngine, TensorRt
from tensorrt_plans import install, issue, picture

from drivenet.engine import open_engine
from drivenet.engine.tensorrt import lane as tensorrt_lane
from drivenet.errors import EngineError, UsageError
from drivenet.host.nvidia import Gpu


def test_calls_come_in_order_and_the_ids_are_right(trt: TensorRt, tmp_path: Path) -> None:
    engine = open_engine(issue(tmp_path, trt), "tensorrt")
    assert trt.calls == [
        "deserialize_cuda_engine", "set_tensor_address frame", "set_tensor_address classes",
        "upload", "execute_async_v3 77", "download", "wait 77",
        "captured upload execute_async_v3 download",
        "launch 77", "wait 77", "launch 77", "wait 77",
    ]  # fmt: skip
    trt.calls.clear()
    (image, ids), (other, other_ids) = picture(1), picture(2)
    kept = engine.infer(image)
    np.testing.assert_array_equal(engine.infer(other), other_ids)
    np.testing.assert_array_equal(kept, ids)
    assert engine.describe()["cuda_graph"] is True
    engine.close()
    assert trt.calls == [*["launch 77", "wait 77"] * 2, "wait 77", "close graph", "close 2"]
    engine.close()
    assert engine.describe()["cuda_graph"] is True
    with pytest.raises(EngineError, match="is closed"):
        engine.infer(image)


def test_maps_of_things_are_bound_and_come_from_the_same_inference(trt: TensorRt, tmp_path: Path) -> None:
    engine = open_engine(issue(tmp_path, trt, things_model), "tensorrt")
    bound = [f"set_tensor_address {name}" for name in ("frame", "classes", "centres", "offsets")]
    assert trt.calls[1:5] == bound
    image, ids = picture(1)
    trt.calls.clear()
    found, maps = engine.infer_things(image)
    assert trt.calls == ["launch 77", "wait 77"]
    assert maps is not None
    np.testing.assert_array_equal(found, ids)
    np.testing.assert_array_equal(maps.centres, image[::2, ::2, 0])
    np.testing.assert_array_equal(maps.offsets, image[::2, ::2, 1:].transpose(2, 0, 1))
    np.testing.assert_array_equal(engine.infer(image), ids)
    kept = maps.offsets.copy()
    engine.infer_things(255 - image)
    np.testing.assert_array_equal(maps.offsets, kept)
    engine.close()
    plain = open_engine(issue(tmp_path, trt), "tensorrt")
    assert plain.infer_things(image)[1] is None
    plain.close()


def test_a_plan_without_the_maps_of_its_passport_is_refused(trt: TensorRt, tmp_path: Path) -> None:
    content = b"ptrt" + palette_model(tmp_path).read_bytes()
    with pytest.raises(EngineError, match=r"has the tensors .*; expected .*'offsets': \('out', True, \(1, 2, 16, 24\)"):
        open_engine(issue(tmp_path, trt, things_model, content=content), "tensorrt")


def test_any_thread_may_infer_and_one_thread_owns_the_device(trt: TensorRt, tmp_path: Path) -> None:
    engine = open_engine(issue(tmp_path, trt), "tensorrt")
    image, ids = picture(1)
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(engine.infer(image)))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0], ids)
    owners = [t.native_id for t in threading.enumerate() if t.name.startswith("tensorrt")]
    assert owners == [engine.worker]
    engine.close()


def test_shared_memory_is_not_copied(trt: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jetson = Gpu(name="Orin", compute_capability="8.7", integrated=True)
    install(monkeypatch, trt, jetson)
    engine = open_engine(issue(tmp_path, trt, gpu=jetson), "tensorrt")
    assert not {"upload", "download"} & set(trt.calls)
    image, ids = picture(3)
    np.testing.assert_array_equal(engine.infer(image), ids)
    engine.close()


def test_without_graphs_every_step_is_queued_and_it_is_said(
    trt: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_lane, "capture", lambda stream, enqueue: (None, "operation not permitted"))
    engine = open_engine(issue(tmp_path, trt), "tensorrt")
    assert engine.describe()["cuda_graph"] == "operation not permitted"
    trt.calls.clear()
    image, ids = picture(4)
    np.testing.assert_array_equal(engine.infer(image), ids)
    assert trt.calls == ["upload", "execute_async_v3 77", "download", "wait 77"]
    engine.close()


def test_the_onnx_finds_its_plan(trt: TensorRt, tmp_path: Path) -> None:
    plan = issue(tmp_path, trt)
    engine = open_engine(tmp_path / "palette.onnx", "tensorrt")
    assert (engine.file, engine.precision) == (str(plan), "fp16")
    engine.close()
    with pytest.raises(EngineError, match=r"drivenet build .* --backend tensorrt --precision int8"):
        open_engine(tmp_path / "palette.onnx", "tensorrt", "int8")
    with pytest.raises(UsageError, match=r"precision int8 for .* which is fp16"):
        open_engine(plan, "tensorrt", "int8")


def test_a_plan_is_not_deserialised_before_its_passport_is_checked(trt: TensorRt, tmp_path: Path) -> None:
    other = issue(tmp_path, trt, gpu=Gpu(name="RTX 4090", compute_capability="8.9"))
    with pytest.raises(EngineError, match=r"built for compute_capability 8\.9, gpu RTX 4090"):
        open_engine(other, "tensorrt")
    torn = issue(tmp_path, trt)
    torn.write_bytes(torn.read_bytes()[:-1])
    with pytest.raises(EngineError, match="is damaged"):
        open_engine(torn, "tensorrt")
    assert trt.calls == []


def test_a_plan_of_another_module_is_refused(trt: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVIDIA's driver calls an AGX Orin, an Orin NX and an Orin Nano "Orin"."""
    agx, nano = (Gpu(name="Orin", compute_capability="8.7", integrated=True, multiprocessors=n) for n in (16, 8))
    install(monkeypatch, trt, nano)
    told = "built for gpu Orin with 16 multiprocessors; expected gpu Orin with 8 multiprocessors, as here"
    with pytest.raises(EngineError, match=told):
        open_engine(issue(tmp_path, trt, gpu=agx), "tensorrt")
    assert trt.calls == []


def test_what_tensorrt_refuses_says_why(trt: TensorRt, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot deserialise .*magicTagRead"):
        open_engine(issue(tmp_path, trt, content=b"something else"), "tensorrt")
    assert trt.calls[-1] == "close 0"
    trt.fails = True
    with pytest.raises(EngineError, match=r"inference with .* failed"):
        open_engine(issue(tmp_path, trt), "tensorrt")
    assert not [t for t in threading.enumerate() if t.name.startswith("tensorrt")]


def test_an_engine_with_another_output_than_its_passport_is_refused(
    trt: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT makes a network's output float where nobody says otherwise."""
    kinds = {"frame": trt.DataType.UINT8, "classes": trt.DataType.FLOAT}  # type: ignore[attr-defined]
    monkeypatch.setattr(CudaEngine, "get_tensor_dtype", lambda self, name: kinds[name])
    with pytest.raises(EngineError, match=r"has the tensors .*'classes': \('out', False.*; expected .*'out', True"):
        open_engine(issue(tmp_path, trt), "tensorrt")


def test_what_failed_is_let_go_before_the_device_is(trt: TensorRt, tmp_path: Path) -> None:
    """A context that outlives the device's is destroyed by another thread, without it."""
    made: list[weakref.ref[Context]] = []
    alive: list[bool] = []
    close, create = trt.driver.close, CudaEngine.create_execution_context

    class Engine(CudaEngine):
        def create_execution_context(self) -> Context:
            context = create(self)
            made.append(weakref.ref(context))
            return context

    class Runtime(trt.Runtime):  # type: ignore[name-defined, misc]
        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            engine = super().deserialize_cuda_engine(plan)
            engine.__class__ = trt.real(Engine, "ICudaEngine")
            return engine

    trt.Runtime, trt.fails = Runtime, True
    trt.driver.close = lambda: (alive.append(made[0]() is not None), close())[1]  # type: ignore[method-assign, func-returns-value]
    with pytest.raises(EngineError, match=r"inference with .* failed"):
        open_engine(issue(tmp_path, trt), "tensorrt")
    assert alive == [False]
