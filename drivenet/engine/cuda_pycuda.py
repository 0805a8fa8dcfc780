"""CUDA through pycuda."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivenet.engine.cuda import Buffer, Driver
from drivenet.errors import EngineError


class PycudaDriver(Driver):
    """See :class:`~drivenet.engine.cuda.Driver`. pycuda's objects may only be used in the thread that made them."""

    package = "pycuda"

    def __init__(self) -> None:
        import pycuda.driver as cuda

        self._cuda = cuda
        self.guard("the NVIDIA driver", cuda.init)
        self._context = self.guard("device 0", lambda: cuda.Device(0).retain_primary_context())
        self._context.push()

    def buffer(self, shape: tuple[int, ...], mapped: bool) -> Buffer:
        """See :meth:`Driver.buffer`."""
        flags = self._cuda.host_alloc_flags.DEVICEMAP if mapped else 0
        host = self.guard("page-locked memory", lambda: self._cuda.pagelocked_empty(shape, "uint8", mem_flags=flags))
        if mapped:
            return Buffer(host, int(host.base.get_device_pointer()), True, (host.base,))
        device = self.guard("device memory", lambda: self._cuda.mem_alloc(host.nbytes))
        return Buffer(host, int(device), False, (device, host.base))

    def stream(self) -> Any:
        """See :meth:`Driver.stream`."""
        return self.guard("a stream", self._cuda.Stream)

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
        return self.guard("an event", lambda: self._cuda.Event(self._cuda.event_flags.BLOCKING_SYNC))

    def wait(self, event: Any, stream: Any) -> None:
        """See :meth:`Driver.wait`."""
        self.guard("the inference", lambda: event.record(stream).synchronize())

    def guard(self, what: str, call: Callable[[], Any]) -> Any:
        """See :meth:`Driver.guard`."""
        try:
            return call()
        except self._cuda.Error as error:
            raise EngineError(f"CUDA failed at {what}: {error}") from error

    def close(self, buffers: list[Buffer]) -> None:
        """See :meth:`Driver.close`."""
        for buffer in buffers:
            for memory in buffer.owner:
                memory.free()
        self._cuda.Context.pop()
        self._context.detach()
