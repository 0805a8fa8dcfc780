"""The TensorRT runner against a recording double that lacks what the real bindings of 8.5, 10 and 11 lack."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import SIZE, paint, palette_model, things_model
from tensorrt_double import GPU, Context, CudaEngine, RecordingDriver, TensorRt

from drivenet.artefacts.passport import Parity, Passport, passport_path
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.engine import open_engine
from drivenet.engine.cuda import driver as cuda
from drivenet.engine.tensorrt import engine as tensorrt
from drivenet.engine.tensorrt import lane as tensorrt_lane
from drivenet.errors import EngineError, UsageError
from drivenet.files import sha256_of
from drivenet.host import nvidia
from drivenet.host.nvidia import Gpu
from drivenet.labels import CAMVID
from drivenet.modelspec import spec_path

PARITY = Parity(
    reference="palette.onnx", pictures="none", images=1, agreement=1, worst_class="Sky", worst_iou=1,
    min_agreement=0.995, min_iou=0.8,
)  # fmt: skip


@pytest.fixture(params=["8.5", "10", "11"])
def trt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TensorRt:
    """TensorRT and a GPU, as far as the runner can tell."""
    driver = RecordingDriver()
    double = TensorRt(request.param, driver)
    install(monkeypatch, double, GPU)
    return double


def install(monkeypatch: pytest.MonkeyPatch, double: TensorRt, gpu: Gpu) -> None:
    monkeypatch.setattr(tensorrt, "require_gpu", lambda: gpu)
    monkeypatch.setattr(tensorrt, "import_tensorrt", lambda: double)
    monkeypatch.setattr(tensorrt, "open_driver", lambda: double.driver)
    monkeypatch.setattr(tensorrt_lane, "capture", double.driver.capture)


def issue(
    folder: Path, trt: TensorRt, model: Callable[[Path], Path] = palette_model, content: bytes | None = None,
    gpu: Gpu = GPU, **options: str,
) -> Path:  # fmt: skip
    """A plan of the double, with a valid passport."""
    onnx = model(folder)
    plan = folder / "palette-fp16.plan"
    plan.write_bytes(b"ptrt" + onnx.read_bytes() if content is None else content)
    passport = Passport(
        backend="tensorrt", precision="fp16", files={plan.name: sha256_of(plan)}, onnx=onnx.name,
        onnx_sha256=sha256_of(onnx), spec=read_spec_json(spec_path(onnx)), machine=tensorrt.machine(trt, gpu),
        options=options, parity=PARITY,
    )  # fmt: skip
    passport_path(plan).write_text(passport.sealed().to_json(), encoding="utf-8")
    return plan


def picture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(seed).integers(0, len(CAMVID), (SIZE[0] // 2, SIZE[1] // 2), np.uint8)
    return paint(ids.repeat(2, 0).repeat(2, 1)), ids


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


def test_an_engine_that_nobody_closes_lets_the_device_go_on_its_own_thread(trt: TensorRt, tmp_path: Path) -> None:
    """Else memory and context of the device are lost, and pycuda aborts the process when the thread ends."""
    closed_by: list[int] = []
    close = trt.driver.close
    trt.driver.close = lambda: (closed_by.append(threading.get_native_id()), close())[1]  # type: ignore[method-assign, func-returns-value]
    engine = open_engine(issue(tmp_path, trt), "tensorrt")
    engine.infer(picture(1)[0])
    worker = engine.worker
    (thread,) = (t for t in threading.enumerate() if t.native_id == worker)
    del engine
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()
    assert closed_by == [worker]
    assert trt.calls[-3:] == ["wait 77", "close graph", "close 2"]


def test_a_null_pointer_of_the_bindings_is_an_engine_error(trt: TensorRt, tmp_path: Path) -> None:
    def runtime(log: Any) -> Any:  # as 8.5.3.1 does without a working driver
        log.log(log.WARNING, "CUDA initialization failure with error: 35.")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    trt.Runtime = runtime
    with pytest.raises(EngineError, match="does not start: CUDA initialization failure with error: 35"):
        open_engine(issue(tmp_path, trt), "tensorrt")


def test_a_plan_for_an_accelerator_core_runs_on_it(trt: TensorRt, tmp_path: Path) -> None:
    engine = open_engine(issue(tmp_path, trt, dla="1"), "tensorrt")
    assert engine._session._runtime.DLA_core == 1  # type: ignore[attr-defined]
    engine.close()


def test_without_a_driver_tensorrt_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = nvidia.probe.__wrapped__("libcuda-that-is-not-there.so")
    assert "no NVIDIA driver" in absent.missing
    monkeypatch.setattr(cuda, "probe", lambda: absent)
    monkeypatch.setattr(tensorrt, "import_tensorrt", lambda: pytest.fail("TensorRT was imported"))
    with pytest.raises(EngineError, match=r"no NVIDIA driver .* use --backend openvino or onnxruntime"):
        open_engine(palette_model(tmp_path), "tensorrt")
    with pytest.raises(EngineError, match="no NVIDIA driver"):
        cuda.open_driver()


def test_two_lanes_overlap_and_the_order_is_kept(trt: TensorRt, tmp_path: Path) -> None:
    engine = open_engine(issue(tmp_path, trt), "tensorrt")
    trt.calls.clear()
    pictures = [picture(seed) for seed in range(5)]
    asked: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        reused = np.empty_like(pictures[0][0])
        for i, (image, _) in enumerate(pictures):
            asked.append(i)
            reused[...] = image
            yield reused

    found = engine.infer_many(camera())
    assert asked == []
    for (_, ids), got in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(got, ids)
    second = ["set_tensor_address frame", "set_tensor_address classes", "upload", "execute_async_v3 78", "download",
              "wait 78", "captured upload execute_async_v3 download"]  # fmt: skip
    assert trt.calls == [
        *second,
        "launch 77", "launch 78",
        "wait 77", "launch 77", "wait 78", "launch 78", "wait 77", "launch 77", "wait 78", "wait 77",
    ]  # fmt: skip
    trt.calls.clear()
    assert len(list(engine.infer_many([pictures[0][0]] * 2))) == 2
    assert trt.calls == ["launch 77", "launch 78", "wait 77", "wait 78"]
    trt.calls.clear()
    engine.close()
    assert trt.calls == ["wait 77", "close graph", "wait 78", "close graph", "close 4"]


def test_latency_has_one_lane_until_throughput_is_asked_for(trt: TensorRt, tmp_path: Path) -> None:
    engine = open_engine(issue(tmp_path, trt), "tensorrt")
    engine.infer(picture(1)[0])
    assert not [call for call in trt.calls if "78" in call]
    assert engine.contexts == 2
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        next(iter(engine.infer_many([picture(1)[0]])))


def test_an_iterator_that_is_left_gives_its_lanes_back(trt: TensorRt, tmp_path: Path) -> None:
    engine = open_engine(issue(tmp_path, trt), "tensorrt")
    (image, ids), (other, other_ids) = picture(1), picture(2)
    many = engine.infer_many([image] * 9)
    np.testing.assert_array_equal(next(many), ids)
    with pytest.raises(EngineError, match="is still at another picture; take all"):
        engine.infer(other)
    many.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(engine.infer(other), other_ids)
    engine.close()


def test_a_failure_in_one_lane_ends_the_iteration(
    trt: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_lane, "capture", lambda stream, enqueue: (None, "not permitted"))
    engine = open_engine(issue(tmp_path, trt), "tensorrt")
    image, ids = picture(1)

    def then_it_fails() -> Iterator[np.ndarray]:
        yield from (image, image, image)
        trt.fails = True
        yield image

    many = engine.infer_many(then_it_fails())
    np.testing.assert_array_equal(next(many), ids)
    with pytest.raises(EngineError, match=r"inference with .* failed"):
        list(many)
    trt.fails = False
    np.testing.assert_array_equal(engine.infer(image), ids)
    with pytest.raises(EngineError, match="was given"):
        list(engine.infer_many([image, image[:1]]))
    engine.close()
    assert trt.calls[-1] == "close 4"


def test_one_logger_serves_the_process(trt: TensorRt, tmp_path: Path) -> None:
    """TensorRT keeps using the first, also when what it was given for is gone."""
    first, second = (open_engine(issue(tmp_path, trt), "tensorrt") for _ in range(2))
    assert first._session._log is second._session._log  # type: ignore[attr-defined]
    first._session._log.log(trt.ILogger.ERROR, "of another engine")  # type: ignore[attr-defined]
    first.close()
    second.close()
    trt.Runtime = type("Mute", (trt.Runtime,), {"deserialize_cuda_engine": lambda self, plan: None})  # type: ignore[name-defined]
    with pytest.raises(EngineError, match="it does not say why"):
        open_engine(issue(tmp_path, trt), "tensorrt")


@pytest.mark.parametrize("step", ["start", "finish"])
def test_ctrl_c_in_the_middle_of_many_leaves_an_engine_that_infers(
    trt: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """As a notebook does, whose session goes on."""
    engine = open_engine(issue(tmp_path, trt), "tensorrt")
    image, ids = picture(5)
    real = getattr(tensorrt.Session, step)

    def interrupted(*arguments: Any) -> Any:
        time.sleep(0.2)  # a signal just before the main thread waits would not wake it
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tensorrt.Session, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(iter(engine.infer_many([image] * 3)))
    for found in (engine.infer(image), *engine.infer_many([image] * 3)):
        np.testing.assert_array_equal(found, ids)
    engine.close()
