"""One way through a TensorRT engine: an execution context with its own buffers, stream, event and graph."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt

from drivenet.engine.cuda.driver import Buffer, Driver
from drivenet.engine.cuda.graph import Graph, capture
from drivenet.errors import EngineError
from drivenet.frame import Image

INPUT, OUTPUT, CENTRES, OFFSETS = "frame", "classes", "centres", "offsets"
#: What an inference gives by name, fresh uint8 arrays without their first axis.
Outputs = dict[str, npt.NDArray[np.uint8]]


class Lane:
    """Holds one picture at a time. All of it belongs to the thread that opened the driver.

    Args:
        context: a fresh execution context of the engine.
        driver: CUDA, opened by this thread; it frees the buffers when it is closed.
        shapes: of all tensors, by name.
        mapped: whether host and device share memory, as on a Jetson.
        log: what TensorRT logs to; its ``reason`` tells why something failed.
        where: how messages name the engine.

    Raises:
        EngineError: if TensorRT refuses the memory or the first inference fails.
    """

    def __init__(
        self, context: Any, driver: Driver, shapes: dict[str, tuple[int, ...]], mapped: bool, log: Any, where: str
    ) -> None:
        self._context, self._driver, self._log, self._where = context, driver, log, where
        self._graph: Graph | None = None
        self._busy, self.without_graph = False, ""
        self._stream, self._event = driver.stream(), driver.event()
        self._handle = driver.handle(self._stream)
        try:
            buffers = {name: self._bind(name, shape, mapped) for name, shape in shapes.items()}
            self._input = buffers.pop(INPUT)
            self._outputs = buffers
            self._enqueue()  # TensorRT sets itself up at the first execution, which must not be captured
            driver.wait(self._event, self._stream)
            self._graph, self.without_graph = capture(self._handle, self._enqueue)
        except BaseException:
            self.close()
            raise

    def start(self, image: Image) -> None:
        """Queue the inference of a picture, (H, W, 3) uint8, which is copied.

        Raises:
            EngineError: if the device refuses, or what came of the picture before was not taken yet.
        """
        if self._busy:
            raise EngineError(f"{self._where} is still at another picture", cure="take all that infer_many gives first")
        np.copyto(self._input.host[0], image)
        if self._graph is not None:
            self._graph.launch(self._handle)
        else:
            self._enqueue()
        self._busy = True

    def finish(self) -> Outputs:
        """Wait for the picture that was started; EngineError if the device failed."""
        self._busy = False
        self._driver.wait(self._event, self._stream)
        return {name: buffer.host[0].copy() for name, buffer in self._outputs.items()}

    def close(self) -> None:
        """Let go of everything, once what is queued has been done."""
        with contextlib.suppress(EngineError):  # after a device error there is nothing to wait for
            self._driver.wait(self._event, self._stream)
        if self._graph is not None:
            self._graph.close()
        self._graph = self._context = self._stream = self._event = None

    def _enqueue(self) -> None:
        """Queue one inference: in, through, out."""
        if not self._input.mapped:
            self._driver.upload(self._input, self._stream)
        if not self._context.execute_async_v3(self._handle):
            raise EngineError(f"inference with {self._where} failed: {self._log.reason or 'TensorRT does not say why'}")
        for output in self._outputs.values():
            if not output.mapped:
                self._driver.download(output, self._stream)

    def _bind(self, name: str, shape: tuple[int, ...], mapped: bool) -> Buffer:
        buffer = self._driver.buffer(shape, mapped)
        buffer.host[...] = 0
        if not self._context.set_tensor_address(name, buffer.device):
            raise EngineError(f"{self._where} refuses the memory for {name}: {self._log.reason}")
        return buffer
