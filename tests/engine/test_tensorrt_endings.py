"""TensorRT plans that fail, are left open or end with their thread."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import palette_model
from tensorrt_double import TensorRt
from tensorrt_plans import issue, picture

from drivenet.engine import open_engine
from drivenet.engine.cuda import driver as cuda
from drivenet.engine.tensorrt import engine as tensorrt
from drivenet.engine.tensorrt import lane as tensorrt_lane
from drivenet.errors import EngineError
from drivenet.host import nvidia


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
