"""CUDA through pycuda."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivenet.engine.cuda.driver import Buffer, Driver
from drivenet.errors import EngineError

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, for which pycuda has no name


class PycudaDriver(Driver):
    """See :class:`~drivenet.engine.cuda.driver.Driver`. Objects of pycuda belong to the thread that made them."""

    package = "pycuda"

    def __init__(self) -> None:
        import pycuda.driver as cuda

        self._cuda = cuda
        self._memory: list[Any] = []
        self.guard("the NVIDIA driver", cuda.init)
        self._context = self.guard("device 0", lambda: cuda.Device(0).retain_primary_context())
        try:
            self.guard("its context", self._context.push)
        except EngineError:
            self._context.detach()
            raise

    def buffer(self, shape: tuple[int, ...], mapped: bool) -> Buffer:
        """See :meth:`Driver.buffer`."""
        flags = self._cuda.host_alloc_flags.DEVICEMAP if mapped else 0
        host = self.guard("page-locked memory", lambda: self._cuda.pagelocked_empty(shape, "uint8", mem_flags=flags))
        self._memory.append(host.base)
        if mapped:
            return Buffer(host, int(self.guard("its address", host.base.get_device_pointer)), True)
        device = self.guard("device memory", lambda: self._cuda.mem_alloc(host.nbytes))
        self._memory.append(device)
        return Buffer(host, int(device), False)

    def stream(self) -> Any:
        """See :meth:`Driver.stream`."""
        return self.guard("a stream", lambda: self._cuda.Stream(_NON_BLOCKING))

    def handle(self, stream: Any) -> int:
        """See :meth:`Driver.handle`."""
        return int(stream.handle)

    def upload(self, buffer: Buffer, stream: Any) -> None:
        """See :meth:`Driver.upload`."""
        self.guard("the upload", lambda: self._cuda.memcpy_htod_async(buffer.device, buffer.host, stream))

    def download(self, buffer: Buffer, stream: Any) -> None:
        """See :meth:`Driver.download`."""
        self.guard("the download", lambda: self._cuda.memcpy_dtoh_async(buffer.host, buffer.device, stream))

    def event(self) -> Any:
        """See :meth:`Driver.event`."""
        flags = self._cuda.event_flags
        return self.guard("an event", lambda: self._cuda.Event(flags.BLOCKING_SYNC | flags.DISABLE_TIMING))

    def wait(self, event: Any, stream: Any) -> None:
        """See :meth:`Driver.wait`."""
        self.guard("the inference", lambda: event.record(stream).synchronize())

    def guard(self, what: str, call: Callable[[], Any]) -> Any:
        """See :meth:`Driver.guard`."""
        try:
            return call()
        except self._cuda.Error as error:
            raise EngineError(f"CUDA failed at {what}: {error}") from error

    def close(self) -> None:
        """See :meth:`Driver.close`."""
        while self._memory:
            self._memory.pop().free()  # what fails here, pycuda prints
        self.guard("its context", self._cuda.Context.pop)
        self._context.detach()
