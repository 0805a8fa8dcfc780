"""What the OpenVINO engine asks of the library: reading, compiling, and what is really computed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivenet.at_work import AT_WORK
from drivenet.errors import EngineError
from drivenet.host.cpu import cpu_model
from drivenet.host.cpu_features import cpu_features
from drivenet.modelspec import ModelSpec

INPUT, OUTPUT, CONFIDENCE, CENTRES, OFFSETS = "frame", "classes", "confidence", "centres", "offsets"
#: Names a folder where OpenVINO keeps compiled models between runs; none are kept without it.
CACHE_VARIABLE = "DRIVENET_OPENVINO_CACHE"
#: OpenVINO's names of the types that floating-point layers compute in.
TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_LAYERS = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul", "Deconvolution")


def machine() -> dict[str, str]:
    """What must be the same where an artefact was built and where it runs."""
    return {
        "openvino": import_openvino().__version__,
        "cpu": cpu_model(),
        "cpu_features": " ".join(cpu_features()),
    }


def import_openvino() -> Any:
    """The package; EngineError with the cure where it is missing."""
    try:
        with without_telemetry():
            import openvino
    except ImportError as error:
        cure = 'pip install "drivenet[openvino]"'
        raise EngineError(f"OpenVINO cannot be imported: {error}", cure=cure) from error
    return openvino


@contextmanager
def without_telemetry() -> Iterator[None]:
    """OpenVINO is imported without telling so to a web service.

    It would do that from a process that it forks off, and note an id in the home folder. A node is no place for either,
    so the package that does it counts as not installed meanwhile.
    """
    name = "openvino_telemetry"
    hidden = name not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment] # what Python takes for "is not there"
    try:
        yield
    finally:
        if hidden:
            del sys.modules[name]


def reason(error: Exception) -> str:
    """What an OpenVINO message says after the places in its source, of bearable length."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith("Exception from")]
    return " ".join(telling)[:200] or type(error).__name__


def read_model(source: tuple[Any, ...], file: Path) -> Any:
    """A model from its path, or from the bytes of its two files."""
    openvino = import_openvino()
    try:
        with AT_WORK.on(str(file)):
            return openvino.Core().read_model(*source)
    except Exception as error:  # OpenVINO raises plain RuntimeError and more
        raise EngineError(f"OpenVINO cannot read {file}: {reason(error)}", cure="export or build it again") from error


def check_ports(model: Any, spec: ModelSpec, file: Path) -> None:
    """EngineError unless the model takes and gives what its passport says."""
    h, w = spec.input
    wanted = [(INPUT, "u8", [1, h, w, 3]), *((name, "u8", shape) for name, shape in spec.outputs())]
    ports = [*model.inputs, *model.outputs]
    got = [(p.get_any_name(), p.get_element_type().to_string(), list(p.get_partial_shape().to_shape())) for p in ports]
    if got != wanted:
        raise EngineError(f"{file} takes and gives {got}", f"{wanted} as in its passport", "build it again")


def ids_alone(model: Any) -> Any:
    """A copy of a model with a confidence that does not compute it."""
    copy = model.clone()
    copy.remove_result(copy.output(CONFIDENCE).get_node())
    return copy


def compile_model(model: Any, precision: str, floats: str, threads: int, where: str) -> Any:
    """The model compiled for latency; EngineError unless floats compute in just the type that is wanted.

    Args:
        model: as read.
        precision: of the network.
        floats: what the layers that int8 leaves in float compute in.
        threads: of the processor.
        where: how messages name it.
    """
    openvino = import_openvino()
    wanted = TYPES[floats if precision == "int8" else precision]
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        # OpenVINO would keep each thread on one core, the first ones first, also where something else is at work there
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": wanted,
    }
    if os.environ.get(CACHE_VARIABLE):
        settings["CACHE_DIR"] = os.environ[CACHE_VARIABLE]
    try:
        compiled = openvino.Core().compile_model(model, "CPU", settings)
    except Exception as error:  # OpenVINO raises plain RuntimeError and more
        raise EngineError(f"OpenVINO cannot compile {where}: {reason(error)}") from error
    got = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if got != wanted:
        raise EngineError(f"OpenVINO computes {where} in {got}", wanted, "take a precision that this processor has")
    return compiled


def check_computed(compiled: Any, precision: str, where: str) -> None:
    """EngineError unless at least one heavy layer really computes in the precision that will be reported."""
    wanted = {"int8": ("i8", "u8")}.get(precision, (TYPES.get(precision, ""),))
    infos = [dict(op.get_rt_info().items()) for op in compiled.get_runtime_model().get_ops()]
    heavy = [(_text(i, "layerType"), _text(i, "runtimePrecision")) for i in infos]
    got = {kind for layer, kind in heavy if layer in _LAYERS}
    if got and not got & set(wanted):
        raise EngineError(f"OpenVINO computes the layers of {where} in {', '.join(sorted(got))}", precision)


def _text(info: dict[str, Any], key: str) -> str:
    value = info.get(key, "")
    return str(getattr(value, "value", value))
