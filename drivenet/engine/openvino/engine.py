"""The OpenVINO backend: runs an ONNX, or an artefact that was built from one, on the processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drivenet.artefacts.admission import admit
from drivenet.artefacts.compiled import build_command, find_built
from drivenet.artefacts.passport import Passport
from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine.checks import check_confidence, check_ids, check_image, check_precision, check_things
from drivenet.engine.openvino.model import (
    CENTRES,
    CONFIDENCE,
    INPUT,
    OFFSETS,
    OUTPUT,
    check_computed,
    check_ports,
    compile_model,
    ids_alone,
    machine,
    read_model,
    reason,
)
from drivenet.engine.own_thread import ThreadedEngine
from drivenet.errors import EngineError, UsageError
from drivenet.frame import Image
from drivenet.host.cpu import cpu_model, physical_cores
from drivenet.host.cpu_features import native_precisions, needed_for
from drivenet.modelspec import ModelSpec, Precision


class _Request(NamedTuple):
    #: OpenVINO's own.
    request: Any
    #: Names of its outputs, in order: to look one up in OpenVINO's answer takes longer than all checks of it.
    outputs: tuple[str, ...]


class OpenVinoEngine(ThreadedEngine):
    """A network compiled by OpenVINO for latency: one stream, one request. Outputs belong to the caller.

    A thread of its own compiles, infers and releases: OpenVINO keeps something for every other thread that infers, and
    frees it when that thread ends, which aborts the process if the network is released at that moment.

    Args:
        file: an ONNX, which runs in its own precision, or an artefact of ``drivenet build --backend openvino``.
            With an ONNX and another precision than its own, the artefact of that precision beside it is taken.
        precision: ``auto`` or what is to be computed.
        threads: None = :func:`~drivenet.host.cpu.physical_cores`.
        unproven: whether an artefact may run before it was compared with its reference.

    Raises:
        UsageError: for no file, or a precision that file or processor does not have.
        ModelSpecError: for an ONNX without a spec, or whose graph or JSON contradicts it.
        EngineError: for an artefact that its passport does not admit, or a network that cannot be compiled or run.
    """

    backend = "openvino"
    on_cpu = True

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
        self._request: _Request | None = None
        #: Read, and compiled when somebody first asks for confidence.
        self._confident: Any = model if self.spec.confidence else None
        self._confident_request: _Request | None = None

        def load() -> None:
            self._request = self._compile(ids_alone(model) if self.spec.confidence else model)

        self._start(load)

    def _compile(self, model: Any) -> _Request:
        """A request of a model compiled as this engine computes."""
        compiled = compile_model(model, self.precision, self.floats, self.threads, self.file)
        check_computed(compiled, self.precision, self.file)
        self.threads = int(compiled.get_property("INFERENCE_NUM_THREADS"))  # no more than the processor has
        return _Request(compiled.create_infer_request(), tuple(port.get_any_name() for port in compiled.outputs))

    def infer(self, image: Image) -> Ids:
        """See :meth:`Engine.infer`."""
        ids: Ids = self._run(self._request, image)[OUTPUT][0]
        check_ids(ids, self.spec, self.file)
        return ids

    def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
        """See :meth:`Engine.infer_confident`; the network with confidence is compiled at the first call."""
        if self._confident is None:
            return self.infer(image), None
        if self._confident_request is None:
            self._confident_request = self._own.call(self._compile, self._confident)
        outputs = self._run(self._confident_request, image)
        ids, confidence = outputs[OUTPUT][0], outputs[CONFIDENCE][0]
        check_ids(ids, self.spec, self.file)
        check_confidence(confidence, self.spec, self.file)
        return ids, confidence

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """See :meth:`Engine.infer_things`; all come from one inference."""
        if self.spec.things is None:
            return self.infer(image), None
        outputs = self._run(self._request, image)
        ids: Ids = outputs[OUTPUT][0]
        maps = ThingMaps(outputs[CENTRES][0], outputs[OFFSETS][0])
        check_ids(ids, self.spec, self.file)
        check_things(maps, self.spec, self.file)
        return ids, maps

    def _run(self, request: _Request | None, image: Image) -> dict[str, Any]:
        """The outputs by name, each (1, H', W') uint8."""
        check_image(image, self.spec)
        return self._own.call(self._infer_there, request, np.ascontiguousarray(image)[None])

    def _infer_there(self, request: _Request, picture: np.ndarray[Any, Any]) -> dict[str, Any]:
        try:
            # The picture is read where it lies; the outputs are copied out of OpenVINO's memory.
            found = request.request.infer({INPUT: picture}, share_inputs=True)
            return dict(zip(request.outputs, found.values(), strict=True))
        except Exception as error:  # OpenVINO raises plain RuntimeError and more
            raise EngineError(f"inference with {self.file} failed: {reason(error)}") from error

    def describe(self) -> dict[str, object]:
        """See :meth:`Engine.describe`; adds threads and, for int8, what the layers left in float compute in."""
        floats = {"floats": self.floats} if self.precision == "int8" else {}
        return {**super().describe(), "threads": self.threads, **floats}

    def _release(self) -> None:
        self._request = self._confident = self._confident_request = None


def _open(file: Path, precision: str, unproven: bool) -> tuple[Path, Passport | None, Any]:
    """The file that is really run, its passport if it is an artefact, and its model."""
    if file.suffix != ".xml":
        spec = _spec_of(file)
        if precision in ("auto", spec.precision):
            return file, None, read_model((str(file),), file)
        built = find_built(file, "openvino", precision)
        if built is None:
            raise _not_built(file, precision, spec.precision)
        file = built
    admitted = admit(file, "openvino", machine(), unproven)
    passport = admitted.passport
    if precision not in ("auto", passport.precision):
        check_precision(precision, passport.spec.model_copy(update={"precision": passport.precision}), str(file))
    contents = (admitted.contents[file.name], admitted.contents.get(file.with_suffix(".bin").name, b""))
    model = read_model(contents, file)
    check_ports(model, passport.spec, file)
    return file, passport, model


def _not_built(file: Path, precision: str, has: Precision) -> UsageError:
    """The cure is a command that works here: no build makes int8 of a float ONNX, or what the processor lacks."""
    received = f"precision {precision} for {file}, which is {has}"
    if precision == "int8":
        return UsageError(received, "an int8 engine", "drivenet models lists those here, drivenet export writes one")
    _check_native(precision)
    return UsageError(
        received, f"{has}, or an artefact of it in {precision}", build_command(file, "openvino", precision)
    )


def _spec_of(file: Path) -> ModelSpec:
    from drivenet.engine.onnxruntime.file import read_spec  # an artefact needs no ONNX Runtime

    return read_spec(file)


def _check_native(precision: str) -> None:
    if precision not in native_precisions():
        raise UsageError(
            f"precision {precision} on {cpu_model()}, which lacks {needed_for(precision)}",
            " or ".join(native_precisions()),
            "run an fp32 engine, or this one with --backend onnxruntime",
        )
