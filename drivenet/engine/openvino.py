"""The OpenVINO backend: runs an ONNX, or an artefact that was built from one, on the processor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from drivenet.classmap import Ids
from drivenet.engine.artefacts import build_command, find_built
from drivenet.engine.base import Engine
from drivenet.engine.checks import check_ids, check_image, check_precision, warm_up
from drivenet.engine.cpu import cpu_model, physical_cores
from drivenet.engine.cpu_features import cpu_features, native_precisions, needed_for
from drivenet.engine.passport import Passport, admit
from drivenet.errors import EngineError, UsageError
from drivenet.frame import Image
from drivenet.modelspec import ModelSpec, Precision

INPUT, OUTPUT = "frame", "classes"
#: Names a folder where OpenVINO keeps compiled models between runs; none are kept without it.
CACHE_VARIABLE = "DRIVENET_OPENVINO_CACHE"
#: OpenVINO's names of the types that floating-point layers compute in.
TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_LAYERS = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul", "Deconvolution")


class OpenVinoEngine(Engine):
    """A network compiled by OpenVINO for latency: one stream, one request. Outputs belong to the caller.

    Args:
        file: an ONNX, which runs in its own precision, or an artefact of ``drivenet build --backend openvino``.
            With an ONNX and another precision than its own, the artefact of that precision beside it is taken.
        precision: ``auto`` or what is to be computed.
        threads: None = :func:`~drivenet.engine.cpu.physical_cores`.
        unproven: whether an artefact may run before it was compared with its reference.

    Raises:
        UsageError: for no file, or a precision that file or processor does not have.
        ModelSpecError: for an ONNX without a spec, or whose graph or JSON contradicts it.
        EngineError: for an artefact that its passport does not admit, or a network that cannot be compiled or run.
    """

    backend = "openvino"

    def __init__(
        self, file: Path | None, precision: str = "auto", threads: int | None = None, unproven: bool = False
    ) -> None:
        if file is None:
            raise UsageError("no engine file", "an ONNX, or an artefact of drivenet build --backend openvino")
        self.threads = threads or physical_cores()
        file, self.passport, model = _open(file, precision, unproven)
        self.file = str(file)
        self.spec: ModelSpec = self.passport.spec if self.passport else _spec_of(file)
        self.precision = self.passport.precision if self.passport else self.spec.precision
        self.floats = self.passport.options.get("floats", "fp32") if self.passport else "fp32"
        _check_native(self.precision)
        compiled = _compile(model, float_type(self.precision, self.floats), self.threads, self.file)
        _check_computed(compiled, self.precision, self.file)
        self._request: Any = compiled.create_infer_request()
        warm_up(self)

    def infer(self, image: Image) -> Ids:
        """See :meth:`Engine.infer`."""
        if self._request is None:
            raise EngineError(f"{self.file} is closed", cure="open the engine again")
        check_image(image, self.spec)
        try:
            # The picture is read where it lies; the output is copied out of OpenVINO's memory.
            outputs = self._request.infer({INPUT: np.ascontiguousarray(image)[None]}, share_inputs=True)
        except Exception as error:  # OpenVINO raises plain RuntimeError and more
            raise EngineError(f"inference with {self.file} failed: {reason(error)}") from error
        ids: Ids = outputs[0][0]
        check_ids(ids, self.spec, self.file)
        return ids

    def describe(self) -> dict[str, object]:
        """See :meth:`Engine.describe`; adds threads and, for int8, what the layers left in float compute in."""
        floats = {"floats": self.floats} if self.precision == "int8" else {}
        return {**super().describe(), "threads": self.threads, **floats}

    def close(self) -> None:
        """Release the network and its threads."""
        self._request = None


def machine() -> dict[str, str]:
    """What must be the same where an artefact was built and where it runs."""
    return {
        "openvino": import_openvino().__version__,
        "cpu": cpu_model(),
        "cpu_features": " ".join(cpu_features()),
    }


def float_type(precision: str, floats: str = "fp32") -> str:
    """OpenVINO's name for the type of floating-point layers; ``floats`` are those that int8 leaves."""
    return TYPES[floats if precision == "int8" else precision]


def import_openvino() -> Any:
    """The package; EngineError with the cure where it is missing."""
    try:
        import openvino
    except ImportError as error:
        cure = 'pip install "drivenet[openvino]"'
        raise EngineError(f"OpenVINO cannot be imported: {error}", cure=cure) from error
    return openvino


def reason(error: Exception) -> str:
    """What an OpenVINO message says after the places in its source, of bearable length."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith("Exception from")]
    return " ".join(telling)[:200] or type(error).__name__


def _open(file: Path, precision: str, unproven: bool) -> tuple[Path, Passport | None, Any]:
    """The file that is really run, its passport if it is an artefact, and its model."""
    openvino = import_openvino()
    if file.suffix != ".xml":
        spec = _spec_of(file)
        if precision in ("auto", spec.precision):
            return file, None, _read(openvino, (str(file),), file)
        built = find_built(file, "openvino", precision)
        if built is None:
            wanted: Precision = spec.precision
            raise UsageError(
                f"precision {precision} for {file}, which is {wanted}",
                f"{wanted}, or an artefact of it in {precision}",
                build_command(file, "openvino", precision),
            )
        file = built
    admitted = admit(file, "openvino", machine(), unproven)
    passport = admitted.passport
    if precision not in ("auto", passport.precision):
        check_precision(precision, passport.spec.model_copy(update={"precision": passport.precision}), str(file))
    contents = (admitted.contents[file.name], admitted.contents.get(file.with_suffix(".bin").name, b""))
    model = _read(openvino, contents, file)
    _check_ports(model, passport.spec, file)
    return file, passport, model


def _spec_of(file: Path) -> ModelSpec:
    from drivenet.engine.onnx_file import read_spec  # an artefact needs no ONNX Runtime

    return read_spec(file)


def _read(openvino: Any, source: tuple[Any, ...], file: Path) -> Any:
    try:
        return openvino.Core().read_model(*source)
    except Exception as error:  # OpenVINO raises plain RuntimeError and more
        raise EngineError(f"OpenVINO cannot read {file}: {reason(error)}", cure="export or build it again") from error


def _check_ports(model: Any, spec: ModelSpec, file: Path) -> None:
    """EngineError unless the model takes and gives what its passport says."""
    h, w = spec.input
    wanted = [(INPUT, "u8", [1, h, w, 3]), (OUTPUT, "u8", [1, *spec.output])]
    ports = [*model.inputs, *model.outputs]
    got = [(p.get_any_name(), p.get_element_type().to_string(), list(p.get_partial_shape().to_shape())) for p in ports]
    if got != wanted:
        raise EngineError(f"{file} takes and gives {got}", f"{wanted} as in its passport", "build it again")


def _compile(model: Any, floats: str, threads: int, where: str) -> Any:
    """The model compiled for latency with exactly this float type."""
    openvino = import_openvino()
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": floats,
    }
    if os.environ.get(CACHE_VARIABLE):
        settings["CACHE_DIR"] = os.environ[CACHE_VARIABLE]
    try:
        compiled = openvino.Core().compile_model(model, "CPU", settings)
    except Exception as error:  # OpenVINO raises plain RuntimeError and more
        raise EngineError(f"OpenVINO cannot compile {where}: {reason(error)}") from error
    got = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if got != floats:
        raise EngineError(f"OpenVINO computes {where} in {got}", floats, "take a precision that this processor has")
    return compiled


def _check_native(precision: str) -> None:
    if precision not in native_precisions():
        raise UsageError(
            f"precision {precision} on {cpu_model()}, which lacks {needed_for(precision)}",
            " or ".join(native_precisions()),
            "run an fp32 engine, or this one with --backend onnxruntime",
        )


def _check_computed(compiled: Any, precision: str, where: str) -> None:
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
