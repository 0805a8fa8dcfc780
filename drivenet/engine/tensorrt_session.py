"""A deserialised TensorRT engine with its buffers, stream and graph. All of it belongs to one thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from drivenet.classmap import Ids
from drivenet.engine.cuda import Buffer, Driver
from drivenet.engine.cuda_graph import Graph, capture
from drivenet.errors import EngineError
from drivenet.frame import Image
from drivenet.modelspec import ModelSpec

INPUT, OUTPUT = "frame", "classes"


def import_tensorrt() -> Any:
    """The package; EngineError with the cure where it is missing."""
    try:
        import tensorrt
    except ImportError as error:
        cure = 'pip install "drivenet[tensorrt]"; on a Jetson use JetPack\'s own: see docs/jetson.md'
        raise EngineError(f"TensorRT cannot be imported: {error}", cure=cure) from error
    return tensorrt


def make_log(trt: Any) -> Any:
    """A logger that keeps the last error, or warning as long as there is none, for our own message; prints nothing."""
    errors = (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)

    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps ``last``."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last, self._failed = "", False

        def log(self, severity: Any, msg: str) -> None:
            """Called by TensorRT."""
            if severity in errors or (severity == trt.ILogger.WARNING and not self._failed):
                self.last, self._failed = " ".join(msg.split())[:300], severity in errors

    return Log()


def start(trt: Any, name: str, log: Any) -> Any:
    """``trt.Runtime`` or ``trt.Builder``; EngineError where the bindings raise that they were given a null pointer."""
    try:
        return getattr(trt, name)(log)
    except TypeError as error:
        raise EngineError(
            f"TensorRT {trt.__version__} does not start: {log.last or error}", cure="drivenet doctor"
        ) from error


class Session:
    """One engine, one execution context, one stream.

    Args:
        trt: the TensorRT package.
        driver: CUDA, opened by this thread.
        plan: the serialised engine, whose passport was checked.
        spec: what it must take and give.
        where: how messages name it.
        mapped: whether host and device share memory, as on a Jetson.
        dla: the core of the deep-learning accelerator that it was built for.

    Raises:
        EngineError: if TensorRT refuses the plan, or the plan is not what its spec says.
    """

    def __init__(
        self,
        trt: Any,
        driver: Driver,
        plan: bytes,
        spec: ModelSpec,
        where: str,
        mapped: bool = False,
        dla: int | None = None,
    ) -> None:
        self._trt, self._driver, self._where = trt, driver, where
        self._log = make_log(trt)
        self._runtime = start(trt, "Runtime", self._log)
        if dla is not None:
            self._runtime.DLA_core = dla
        self._engine = self._made(self._runtime.deserialize_cuda_engine(plan), "deserialise")
        self._check(spec)
        self._context = self._made(self._engine.create_execution_context(), "prepare")
        self._input = self._bind(INPUT, mapped)
        self._output = self._bind(OUTPUT, mapped)
        self._stream, self._event = driver.stream(), driver.event()
        self._handle = driver.handle(self._stream)
        self._graph: Graph | None = None
        self.without_graph = ""
        self._enqueue()  # TensorRT sets itself up at the first execution, which must not be captured
        driver.wait(self._event, self._stream)
        self._graph, self.without_graph = capture(self._handle, self._enqueue)

    def run(self, image: Image) -> Ids:
        """(H, W, 3) uint8 in, fresh (H', W') uint8 out; EngineError with the device's message if it fails."""
        np.copyto(self._input.host[0], image)
        if self._graph is not None:
            self._graph.launch(self._handle)
        else:
            self._enqueue()
        self._driver.wait(self._event, self._stream)
        ids: Ids = self._output.host[0].copy()
        return ids

    def close(self) -> None:
        """Release everything, what others rest on last."""
        if self._graph is not None:
            self._graph.close()
        del self._context, self._engine, self._runtime
        del self._stream, self._event
        buffers = [self._input, self._output]
        del self._input, self._output
        self._driver.close(buffers)

    def _enqueue(self) -> None:
        """Queue one inference: in, through, out."""
        if not self._input.mapped:
            self._driver.upload(self._input, self._stream)
        if not self._context.execute_async_v3(self._handle):
            raise EngineError(f"inference with {self._where} failed: {self._log.last or 'TensorRT does not say why'}")
        if not self._output.mapped:
            self._driver.download(self._output, self._stream)

    def _bind(self, name: str, mapped: bool) -> Buffer:
        shape = tuple(int(n) for n in self._engine.get_tensor_shape(name))
        buffer = self._driver.buffer(shape, mapped)
        buffer.host[...] = 0
        if not self._context.set_tensor_address(name, buffer.device):
            raise EngineError(f"{self._where} refuses the memory for {name}: {self._log.last}")
        return buffer

    def _check(self, spec: ModelSpec) -> None:
        """EngineError unless the engine takes and gives what its passport says."""
        trt, engine = self._trt, self._engine
        got = {}
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            mode = "in" if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else "out"
            uint8 = engine.get_tensor_dtype(name) == trt.DataType.UINT8
            got[name] = (mode, uint8, tuple(int(n) for n in engine.get_tensor_shape(name)))
        wanted = {INPUT: ("in", True, (1, *spec.input, 3)), OUTPUT: ("out", True, (1, *spec.output))}
        if got != wanted:
            raise EngineError(f"{self._where} has the tensors {got}", f"{wanted} as in its passport", "build it again")

    def _made(self, thing: Any, step: str) -> Any:
        """What TensorRT made; it gives None where others raise."""
        if thing is None:
            told = self._log.last or "it does not say why"
            raise EngineError(
                f"TensorRT cannot {step} {self._where}: {told}", cure="build it again with drivenet build"
            )
        return thing
