"""TensorRT: runs a plan that was built on this very kind of GPU."""

from __future__ import annotations

import importlib.util

from drivenet.backends import Backend, BuildOption
from drivenet.engine.cuda.driver import missing_package
from drivenet.host.nvidia import probe

BACKEND = Backend(
    name="tensorrt",
    open="drivenet.engine.tensorrt.engine:TensorRtEngine",
    why="there is a GPU with TensorRT",
    rank=10,
    suffix=".plan",
    obstacle="drivenet.engine.tensorrt:obstacle",
    machine="drivenet.engine.tensorrt:machine",
    build="drivenet.build.tensorrt:build_tensorrt",
    precisions="drivenet.engine.tensorrt:precisions",
    options=(
        BuildOption("workspace", "integer", "scratch memory of the build.", minimum=1, metavar="MIB"),
        BuildOption("timing_cache", "path", "kernel timings, read and written.", metavar="FILE"),
        BuildOption(
            "dla",
            "integer",
            "build for this core of a Jetson's deep-learning accelerator.",
            minimum=0,
            metavar="CORE",
        ),
        BuildOption("gpu_fallback", "flag", "let the GPU take what the DLA cannot.", default=True),
        BuildOption(
            "argmax",
            "text",
            "how the best class is found; auto builds both ways and keeps the faster.",
            ("auto", "topk", "select"),
            default="auto",
        ),
    ),
)


def obstacle(precision: str | None) -> str:
    """What keeps TensorRT from running here, empty if nothing does; a plan says what it computes."""
    if probe().missing:
        return probe().missing
    if importlib.util.find_spec("tensorrt") is None:
        return "the package tensorrt is missing"
    return missing_package()


def machine() -> dict[str, str]:
    """What this machine is to a plan; EngineError without a GPU or TensorRT."""
    from drivenet.engine.cuda.driver import require_gpu
    from drivenet.engine.tensorrt import engine
    from drivenet.engine.tensorrt.session import import_tensorrt

    gpu = require_gpu()
    return engine.machine(import_tensorrt(), gpu)


def precisions(of: str) -> tuple[str, ...]:
    """What an ONNX of a precision can be built in, the usual one first."""
    return ("int8",) if of == "int8" else ("fp16", "fp32", "bf16")
