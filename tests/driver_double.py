"""A CUDA driver that records every call and keeps device memory in dictionaries."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from drivenet.engine.cuda.driver import Buffer, Driver
from drivenet.errors import EngineError

if TYPE_CHECKING:
    from tensorrt_double import TensorRt


class RecordingDriver(Driver):
    """Device memory in dictionaries; what is queued while a graph is captured runs when the graph is launched."""

    package = "recorded"

    @classmethod
    def beside(cls, trt: TensorRt) -> RecordingDriver:
        """A further session on the device of a TensorRT; what it frees is not that of the others."""
        driver = cls()
        driver.calls, driver.memory, driver.close = trt.calls, trt.driver.memory, lambda: None  # type: ignore[method-assign]
        return driver

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.memory: dict[int, np.ndarray] = {}
        self.streams = 0
        self.capturing: list[tuple[str, Callable[[], None]]] | None = None

    def do(self, name: str, action: Callable[[], None]) -> None:
        if self.capturing is None:
            self.calls.append(name)
            action()
        else:
            self.capturing.append((name, action))

    def buffer(self, shape: tuple[int, ...], mapped: bool) -> Buffer:
        host = np.zeros(shape, np.uint8)
        address = 4096 * (len(self.memory) + 1)
        self.memory[address] = host if mapped else np.zeros(shape, np.uint8)
        return Buffer(host, address, mapped)

    def stream(self) -> Any:
        self.streams += 1
        return f"stream {self.streams}"

    def handle(self, stream: Any) -> int:
        return 76 + int(stream.split()[1])

    def upload(self, buffer: Buffer, stream: Any) -> None:
        self.do("upload", lambda: np.copyto(self.memory[buffer.device], buffer.host))

    def download(self, buffer: Buffer, stream: Any) -> None:
        self.do("download", lambda: np.copyto(buffer.host, self.memory[buffer.device]))

    def event(self) -> Any:
        return "event"

    def wait(self, event: Any, stream: Any) -> None:
        assert self.capturing is None, "a wait cannot be captured"
        self.calls.append(f"wait {self.handle(stream)}")

    def close(self) -> None:
        self.calls.append(f"close {len(self.memory)}")
        self.memory.clear()
        self.streams = 0

    def capture(self, stream: int, enqueue: Callable[[], None]) -> tuple[Any, str]:
        """Stands for :func:`drivenet.engine.cuda.graph.capture`."""
        self.capturing = []
        try:
            enqueue()
        except EngineError as error:
            return None, str(error)
        finally:
            steps, self.capturing = self.capturing, None
        self.calls.append("captured " + " ".join(name.partition(" ")[0] for name, _ in steps))

        def launch(handle: int) -> None:
            self.calls.append(f"launch {handle}")
            for _, action in steps:
                action()

        return SimpleNamespace(launch=launch, close=lambda: self.calls.append("close graph")), ""
