"""Builds an OpenVINO artefact: the ONNX as OpenVINO's own files, which load without the ONNX reader."""

from __future__ import annotations

from pathlib import Path

from drivenet.engine.cpu_features import native_precisions, needed_for
from drivenet.engine.openvino_model import import_openvino, machine, reason
from drivenet.errors import EngineError, UsageError
from drivenet.export.request import BuildRequest, Product


def build_openvino(request: BuildRequest, precision: str, target: Path) -> Product:
    """Write ``target`` (.xml) and its weights (.bin).

    The files keep full precision; what the layers compute in is set when they are compiled at load. Layers that an
    int8 network leaves in float compute in bf16 where the processor has it, unless the request says fp32.

    Raises:
        UsageError: for a precision that this processor does not have.
        EngineError: if OpenVINO is missing or cannot take the ONNX.
    """
    openvino = import_openvino()
    native = native_precisions()
    floats = request.floats or ("bf16" if "bf16" in native else "fp32")
    for asked in {precision, floats} if precision == "int8" else {precision}:
        if asked not in native:
            told = f"precision {asked} on a processor without {needed_for(asked)}"
            raise UsageError(told, " or ".join(native), f"run {request.onnx} with --backend onnxruntime")
    try:
        model = openvino.Core().read_model(str(request.onnx))
        openvino.save_model(model, str(target), compress_to_fp16=False)
    except Exception as error:  # OpenVINO raises plain RuntimeError and more
        raise EngineError(f"OpenVINO cannot build {request.onnx}: {reason(error)}") from error
    options = {"floats": floats} if precision == "int8" else {}
    return Product((target, target.with_suffix(".bin")), machine(), options=options)
