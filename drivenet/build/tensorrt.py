"""Builds a TensorRT plan from the deployed ONNX."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from drivenet.backends import BACKENDS
from drivenet.build.request import BuildRequest, Product
from drivenet.build.tensorrt_network import ARGMAX, lower_argmax
from drivenet.build.tensorrt_precision import Typing, typing_of
from drivenet.engine.cuda.driver import find_driver, open_driver, require_gpu
from drivenet.engine.onnxruntime.file import read_spec
from drivenet.engine.tensorrt.engine import machine
from drivenet.engine.tensorrt.session import Session, import_tensorrt, make_log, start
from drivenet.errors import EngineError, UsageError
from drivenet.files import write_atomic
from drivenet.host.nvidia import Gpu
from drivenet.modelspec import ModelSpec

#: Its parsers take uint8 between an end of the graph and a cast alone, 8.5 the float side of that cast alone.
_READABLE = "what drivenet export writes: opset 17, the picture cast to float first, the ids to float before uint8"

#: Inferences that one way to find the best class is timed with.
_TIMED = 50


class _NoPlanError(EngineError):
    """TensorRT read the network and made no plan of it."""


def build_tensorrt(request: BuildRequest, precision: str, target: Path) -> Product:
    """Write ``target`` (.plan).

    Raises:
        UsageError: for an ONNX with a confidence, or a precision or DLA core that this TensorRT or GPU does not have.
        EngineError: for no GPU, no TensorRT, nothing to call CUDA through, or a network that it cannot build.
    """
    spec = read_spec(request.onnx)
    if spec.confidence:
        raise UsageError(
            f"{request.onnx} gives confidence, which the backend tensorrt does not",
            "an ONNX without it",
            "build from the ONNX that it was exported from, or for openvino",
        )
    gpu = require_gpu()
    trt = import_tensorrt()
    find_driver()  # without one the plan could not be run: told before the minutes that a build takes
    typing = typing_of(trt, precision)
    ways = ARGMAX if request.option("argmax") == "auto" else (request.option("argmax"),)
    cache, plans = _Timings(request.option("timing_cache"), len(ways)), {}
    failed: dict[str, EngineError] = {}
    for way in ways:
        try:
            plans[way] = _build(trt, request, precision, typing, len(spec.labels.classes), way, cache)
        except _NoPlanError as error:  # 8.5 has no kernel for some chains
            traceback.clear_frames(error.__traceback__)  # a builder held there would outlive the device's context
            failed[way] = error.with_traceback(None)
    kept = cache.keep()
    if not plans:
        raise next(iter(failed.values()))
    times: dict[str, float] = {}
    if len(plans) > 1:
        for way, plan in plans.items():
            try:
                times[way] = _time(trt, gpu, plan, spec, request)
            except EngineError as error:  # the other one may run
                failed[way] = error.with_traceback(None)
        if not times:
            raise next(iter(failed.values()))
    best = min(times or plans, key=lambda way: times.get(way, 0.0))
    target.write_bytes(plans[best])
    recorded = {
        "cuda": gpu.cuda,
        "argmax": best,
        **{f"ms_{way}": f"{ms:.3f}" for way, ms in times.items()},
        **{f"without_{way}": error.received for way, error in failed.items()},
        **kept,
    }
    return Product((target,), machine(trt, gpu), recorded, _options(request))


def _options(request: BuildRequest) -> dict[str, str]:
    """The flags that would build it again."""
    taken = BACKENDS["tensorrt"].options
    return {flag: text for option in taken for flag, text in option.note(request.option(option.name)).items()}


def _build(
    trt: Any, request: BuildRequest, precision: str, typing: Typing, classes: int, argmax: str, cache: _Timings
) -> bytes:
    """The plan."""
    log = make_log(trt)
    builder = start(trt, "Builder", log)
    network = builder.create_network(typing.network_flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(typing.rewrite(request.onnx.read_bytes())):
        told = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors)) or log.reason
        raise EngineError(f"TensorRT {trt.__version__} cannot read {request.onnx}: {told}", _READABLE)
    keep = lower_argmax(trt, network, classes, argmax)
    config = builder.create_builder_config()
    _configure(trt, config, request, precision, typing)
    if request.option("dla") is not None:
        _use_dla(trt, config, request, precision, int(getattr(builder, "num_DLA_cores", 0)))
    cache.attach(config)
    plan = builder.build_serialized_network(network, config)
    cache.take(config)
    if plan is None:
        told = log.reason or "it does not say why"
        raise _NoPlanError(f"TensorRT {trt.__version__} cannot build {request.onnx} in {precision}: {told}")
    del keep
    return bytes(memoryview(plan))


def _configure(trt: Any, config: Any, request: BuildRequest, precision: str, typing: Typing) -> None:
    flags = trt.BuilderFlag
    for name in typing.builder_flags:
        config.set_flag(getattr(flags, name))
    if precision == "fp32":
        config.clear_flag(flags.TF32)  # it rounds to 10 bits, which is not what fp32 says
    if request.option("workspace") is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.option("workspace") << 20)
    # A convolutional network needs none of the libraries around TensorRT; without them a process is smaller.
    sources = trt.TacticSource.__members__
    own = [source for name, source in sources.items() if not name.startswith(("CUBLAS", "CUDNN"))]
    if len(own) < len(sources):  # 11 knows no others
        config.set_tactic_sources(sum(1 << int(source) for source in own))


def _use_dla(trt: Any, config: Any, request: BuildRequest, precision: str, cores: int) -> None:
    if precision != "fp16":  # the GPU would silently take everything of an int8 ONNX as well
        raise UsageError(f"precision {precision} on a DLA core", "fp16", "it takes int8 by calibration only")
    core = request.option("dla")
    if core not in range(cores):  # the GPU would silently take everything
        raise UsageError(f"DLA core {core} on a machine with {cores}", "the number of one, from 0")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    if request.option("gpu_fallback"):
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


class _Timings:
    """How long kernels take: from one build to the next, and to a file if there is one.

    Args:
        file: is read if it is there, and written; it is a help, no more.
        builds: how many there will be.
    """

    def __init__(self, file: Path | None, builds: int) -> None:
        self._file, self._content, self._useful = file, b"", file is not None or builds > 1
        if file is not None:
            with contextlib.suppress(OSError):
                self._content = file.read_bytes()

    def attach(self, config: Any) -> None:
        """Give a build what is known, if it fits this GPU and version."""
        if not self._useful:
            return
        cache = config.create_timing_cache(self._content)
        if cache is None or not config.set_timing_cache(cache, False):
            config.set_timing_cache(config.create_timing_cache(b""), False)

    def take(self, config: Any) -> None:
        """Remember what a build has measured."""
        if self._useful:
            self._content = bytes(memoryview(config.get_timing_cache().serialize()))

    def keep(self) -> dict[str, str]:
        """Write it; a plan that took minutes is not given up for a folder that cannot be written to."""
        if self._file is None:
            return {}
        try:
            write_atomic(self._file, self._content)
        except OSError as error:
            return {"timing_cache": f"not written to {self._file}: {error.strerror}"}
        return {"timing_cache": f"written to {self._file}"}


def _time(trt: Any, gpu: Gpu, plan: bytes, spec: ModelSpec, request: BuildRequest) -> float:
    """Median milliseconds of an inference, on a thread that owns the device for as long."""
    image = np.random.default_rng(0).integers(0, 256, (*spec.input, 3), np.uint8)

    def measure() -> float:
        session = Session(trt, open_driver(), plan, spec, request.onnx.name, gpu.integrated, request.option("dla"))
        try:
            return float(np.median([_clock(lambda: session.run(image)) for _ in range(_TIMED)][_TIMED // 5 :]))
        finally:
            session.close()

    with ThreadPoolExecutor(1, thread_name_prefix="tensorrt-timing") as thread:
        return thread.submit(measure).result()


def _clock(call: Callable[[], object]) -> float:
    started = time.monotonic_ns()
    call()
    return (time.monotonic_ns() - started) / 1e6
