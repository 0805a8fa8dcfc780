"""CUDA through NVIDIA's own cuda-bindings, for machines where pycuda cannot be compiled."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from drivenet.engine.cuda import Buffer, Driver
from drivenet.errors import EngineError

_DEVICEMAP, _NON_BLOCKING, _BLOCKING_SYNC = 2, 1, 1  # CU_MEMHOSTALLOC_, CU_STREAM_, CU_EVENT_


class BindingsDriver(Driver):
    """See :class:`~drivenet.engine.cuda.Driver`."""

    package = "cuda-bindings"

    def __init__(self) -> None:
        from cuda.bindings import driver as cuda

        self._cuda = cuda
        self._call("the NVIDIA driver", cuda.cuInit, 0)
        self._device = self._call("device 0", cuda.cuDeviceGet, 0)
        context = self._call("its context", cuda.cuDevicePrimaryCtxRetain, self._device)
        self._call("its context", cuda.cuCtxPushCurrent, context)

    def buffer(self, shape: tuple[int, ...], mapped: bool) -> Buffer:
        """See :meth:`Driver.buffer`."""
        size = math.prod(shape)
        address = int(self._call("page-locked memory", self._cuda.cuMemHostAlloc, size, _DEVICEMAP if mapped else 0))
        host = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address)).reshape(shape)
        if mapped:
            device = int(self._call("its address", self._cuda.cuMemHostGetDevicePointer, address, 0))
        else:
            device = int(self._call("device memory", self._cuda.cuMemAlloc, size))
        return Buffer(host, device, mapped, address)

    def stream(self) -> Any:
        """See :meth:`Driver.stream`."""
        return self._call("a stream", self._cuda.cuStreamCreate, _NON_BLOCKING)

    def handle(self, stream: Any) -> int:
        """See :meth:`Driver.handle`."""
        return int(stream)

    def upload(self, buffer: Buffer, stream: Any) -> None:
        """See :meth:`Driver.upload`."""
        size = buffer.host.nbytes
        self._call("the upload", self._cuda.cuMemcpyHtoDAsync, buffer.device, buffer.owner, size, stream)

    def download(self, buffer: Buffer, stream: Any) -> None:
        """See :meth:`Driver.download`."""
        size = buffer.host.nbytes
        self._call("the download", self._cuda.cuMemcpyDtoHAsync, buffer.owner, buffer.device, size, stream)

    def event(self) -> Any:
        """See :meth:`Driver.event`."""
        return self._call("an event", self._cuda.cuEventCreate, _BLOCKING_SYNC)

    def wait(self, event: Any, stream: Any) -> None:
        """See :meth:`Driver.wait`."""
        self._call("the inference", self._cuda.cuEventRecord, event, stream)
        self._call("the inference", self._cuda.cuEventSynchronize, event)

    def guard(self, what: str, call: Callable[[], Any]) -> Any:
        """See :meth:`Driver.guard`; these calls report by their first result."""
        status, *results = call()
        if int(status):
            _, text = self._cuda.cuGetErrorString(status)
            told = text.decode(errors="replace") if text else str(status)
            raise EngineError(f"CUDA failed at {what}: {told}")
        return results[0] if results else None

    def close(self, buffers: list[Buffer]) -> None:
        """See :meth:`Driver.close`."""
        for buffer in buffers:
            if not buffer.mapped:
                self._call("device memory", self._cuda.cuMemFree, buffer.device)
            self._call("page-locked memory", self._cuda.cuMemFreeHost, buffer.owner)
        self._call("its context", self._cuda.cuCtxPopCurrent)
        self._call("its context", self._cuda.cuDevicePrimaryCtxRelease, self._device)

    def _call(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.guard(what, lambda: function(*arguments))
