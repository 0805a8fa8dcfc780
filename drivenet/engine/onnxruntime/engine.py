"""The ONNX Runtime backend: runs the deployed graph on the processor."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from drivenet.at_work import AT_WORK
from drivenet.classmap import Confidence, Ids, ThingMaps
from drivenet.engine.base import Engine
from drivenet.engine.checks import check_confidence, check_ids, check_image, check_precision, check_things, warm_up
from drivenet.engine.onnxruntime.file import (
    CENTRES,
    CONFIDENCE,
    CPU,
    INPUT,
    OFFSETS,
    OUTPUT,
    open_session,
    reason,
    spec_of,
)
from drivenet.errors import EngineError, ModelSpecError, UsageError
from drivenet.frame import Image
from drivenet.host.cpu import physical_cores
from drivenet.host.nvidia import probe

_CUDA = "CUDAExecutionProvider"


class OnnxRuntimeEngine(Engine):
    """An ONNX in an ONNX Runtime session. Every output is a fresh array that belongs to the caller.

    Args:
        file: the ONNX; its spec is inside it.
        precision: ``auto`` or what the ONNX has; this backend converts nothing.
        threads: inside one operator; None = :func:`~drivenet.host.cpu.physical_cores`. Operators run in turn.
        providers: execution providers, exactly these; None = :func:`usable_providers`, but the processor for int8 and,
            with a warning, where CUDA is there and does not start.

    Raises:
        UsageError: for no file, or a precision that the file does not have.
        ModelSpecError: for a file without a spec, or whose graph or JSON contradicts it.
        EngineError: for a file that cannot be loaded, or gives wrong ids on a first try.
    """

    backend = "onnxruntime"
    on_cpu = True

    def __init__(
        self,
        file: Path | None,
        precision: str = "auto",
        threads: int | None = None,
        providers: tuple[str, ...] | None = None,
    ) -> None:
        if file is None:
            raise UsageError("no engine file", "an ONNX file for the backend onnxruntime")
        self.file = str(file)
        self.threads = threads or physical_cores()
        self.providers = usable_providers() if providers is None else providers
        self._without_cuda = ""
        self._session: Any = self._open(file, chosen=providers is None)
        self.spec = spec_of(self._session, file)
        if providers is None and self.spec.precision == "int8" and self.providers != CPU:
            self.providers, self._without_cuda = CPU, "it has no int8 convolution and would compute in float"
            self._session = open_session(file, _options(self.threads), CPU)
        self.precision, self.on_cpu = self.spec.precision, self.providers == CPU
        check_precision(precision, self.spec, self.file)
        warm_up(self)

    def _open(self, file: Path, chosen: bool) -> Any:
        """A session; on the processor, with a warning, if the CUDA that we chose ourselves cannot be used."""
        try:
            return open_session(file, _options(self.threads), self.providers)
        except (EngineError, ModelSpecError) as error:
            if not chosen or self.providers == CPU:
                raise
            session = open_session(file, _options(self.threads), CPU)
            self.providers, self._without_cuda = CPU, str(error)
            told = f"ONNX Runtime's CUDA provider does not start, the CPU is used (see drivenet doctor): {error}"
            warnings.warn(told, RuntimeWarning, stacklevel=3)
            return session

    def infer(self, image: Image) -> Ids:
        """See :meth:`Engine.infer`. ONNX Runtime computes the confidence of a model that has it, and leaves it."""
        (ids,) = self._run(image, [OUTPUT])
        check_ids(ids, self.spec, self.file)
        return ids

    def infer_confident(self, image: Image) -> tuple[Ids, Confidence | None]:
        """See :meth:`Engine.infer_confident`; both come from one inference."""
        if not self.spec.confidence:
            return self.infer(image), None
        ids, confidence = self._run(image, [OUTPUT, CONFIDENCE])
        check_ids(ids, self.spec, self.file)
        check_confidence(confidence, self.spec, self.file)
        return ids, confidence

    def infer_things(self, image: Image) -> tuple[Ids, ThingMaps | None]:
        """See :meth:`Engine.infer_things`; all come from one inference."""
        if self.spec.things is None:
            return self.infer(image), None
        ids, centres, offsets = self._run(image, [OUTPUT, CENTRES, OFFSETS])
        maps = ThingMaps(centres, offsets)
        check_ids(ids, self.spec, self.file)
        check_things(maps, self.spec, self.file)
        return ids, maps

    def _run(self, image: Image, outputs: list[str]) -> list[Ids]:
        """The wanted outputs, without their first axis."""
        if self._session is None:
            raise EngineError(f"{self.file} is closed", cure="open the engine again")
        check_image(image, self.spec)
        try:
            with AT_WORK.on(self.file):
                found = self._session.run(outputs, {INPUT: image[None]})
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            raise EngineError(f"inference with {self.file} failed: {reason(error)}") from error
        return [np.asarray(one)[0] for one in found]

    def describe(self) -> dict[str, object]:
        """See :meth:`Engine.describe`; adds threads, provider, and why that is not CUDA where CUDA is there."""
        without = {"without_cuda": self._without_cuda} if self._without_cuda else {}
        return {**super().describe(), "threads": self.threads, "provider": self.providers[0], **without}

    def close(self) -> None:
        """Release the session and its threads."""
        self._session = None


def usable_providers() -> tuple[str, ...]:
    """CUDA where this ONNX Runtime has it and a driver and GPU are there, else the processor.

    ONNX Runtime's own TensorRT provider is taken only when it is asked for: it compiles at load, past every gate.
    """
    if _CUDA in ort.get_available_providers() and not probe().missing:
        return (_CUDA, *CPU)
    return CPU


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Idle threads would otherwise spin on the cores that decode, draw and encode beside them: with 23 ms of work
    # every 64 ms on two cores that took 3 times the processor time and saved no latency.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
