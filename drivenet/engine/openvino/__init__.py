"""OpenVINO: runs an ONNX, or an artefact that was built from one, on the processor."""

from __future__ import annotations

import importlib.util

from drivenet.backends import Backend, BuildOption
from drivenet.host.cpu_features import native_precisions, needed_for

BACKEND = Backend(
    name="openvino",
    open="drivenet.engine.openvino.engine:OpenVinoEngine",
    why="it is usually the fastest on a processor",
    rank=20,
    runs_onnx=True,
    suffix=".xml",
    obstacle="drivenet.engine.openvino:obstacle",
    machine="drivenet.engine.openvino.model:machine",
    build="drivenet.build.openvino:build_openvino",
    precisions="drivenet.engine.openvino:precisions",
    options=(
        BuildOption(
            "floats",
            "text",
            "what an int8 network's float layers compute in [default: bf16 if native and the parity check passes].",
            ("fp32", "bf16"),
            exact="fp32",
        ),
    ),
)


def obstacle(precision: str | None) -> str:
    """What keeps OpenVINO from computing a precision here, empty if nothing does."""
    if importlib.util.find_spec("openvino") is None:
        return "the package openvino is missing"
    return "" if precision in (None, *native_precisions()) else f"{precision} needs {needed_for(precision or '')}"


def precisions(of: str) -> tuple[str, ...]:
    """What an ONNX of a precision can be built in on this processor, the usual one first."""
    native = native_precisions()
    wanted = ("int8",) if of == "int8" else ("bf16", "fp32", "fp16")
    return tuple(precision for precision in wanted if precision in native)
