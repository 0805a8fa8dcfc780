"""CUDA through NVIDIA's own cuda-bindings, for machines where pycuda cannot be compiled."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from drivenet.engine.cuda.driver import Buffer, Driver
from drivenet.errors import EngineError
from drivenet.host.nvidia import probe

_DEVICEMAP, _NON_BLOCKING = 2, 1  # CU_MEMHOSTALLOC_, CU_STREAM_
_BLOCKING_SYNC, _DISABLE_TIMING = 1, 2  # CU_EVENT_


class BindingsDriver(Driver):
    """See :class:`~drivenet.engine.cuda.driver.Driver`."""

    package = "cuda-bindings"

    def __init__(self) -> None:
        from cuda.bindings import driver as cuda

        self._cuda = cuda
        self._undo: list[tuple[str, Callable[[], Any]]] = []
        self._call("the NVIDIA driver", cuda.cuInit, 0)
        device = self._call("device 0", cuda.cuDeviceGet, 0)
        context = self._call("its context", cuda.cuDevicePrimaryCtxRetain, device)
        self._undo.append(("its context", partial(cuda.cuDevicePrimaryCtxRelease, device)))
        try:
            self._call("its context", cuda.cuCtxPushCurrent, context)
        except EngineError:
            self.close()
            raise
        self._undo.append(("its context", cuda.cuCtxPopCurrent))

    def buffer(self, shape: tuple[int, ...], mapped: bool) -> Buffer:
        """See :meth:`Driver.buffer`."""
        cuda, size, flags = self._cuda, math.prod(shape), _DEVICEMAP if mapped else 0
        address = int(self._make("page-locked memory", cuda.cuMemHostAlloc, cuda.cuMemFreeHost, size, flags))
        host = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address)).reshape(shape)
        if mapped:
            device = int(self._call("its address", cuda.cuMemHostGetDevicePointer, address, 0))
        else:
            device = int(self._make("device memory", cuda.cuMemAlloc, cuda.cuMemFree, size))
        return Buffer(host, device, mapped)

    def stream(self) -> Any:
        """See :meth:`Driver.stream`."""
        return self._make("a stream", self._cuda.cuStreamCreate, self._cuda.cuStreamDestroy, _NON_BLOCKING)

    def handle(self, stream: Any) -> int:
        """See :meth:`Driver.handle`."""
        return int(stream)

    def upload(self, buffer: Buffer, stream: Any) -> None:
        """See :meth:`Driver.upload`."""
        host = buffer.host
        self._call("the upload", self._cuda.cuMemcpyHtoDAsync, buffer.device, host.ctypes.data, host.nbytes, stream)

    def download(self, buffer: Buffer, stream: Any) -> None:
        """See :meth:`Driver.download`."""
        host = buffer.host
        self._call("the download", self._cuda.cuMemcpyDtoHAsync, host.ctypes.data, buffer.device, host.nbytes, stream)

    def event(self) -> Any:
        """See :meth:`Driver.event`."""
        flags = _BLOCKING_SYNC | _DISABLE_TIMING
        return self._make("an event", self._cuda.cuEventCreate, self._cuda.cuEventDestroy, flags)

    def wait(self, event: Any, stream: Any) -> None:
        """See :meth:`Driver.wait`."""
        self._call("the inference", self._cuda.cuEventRecord, event, stream)
        self._call("the inference", self._cuda.cuEventSynchronize, event)

    def guard(self, what: str, call: Callable[[], Any]) -> Any:
        """See :meth:`Driver.guard`; these calls report by their first result."""
        try:
            status, *results = call()
        except RuntimeError as error:  # they look functions up in the driver, and 12 and 13 one that 11 lacks
            cuda = probe().cuda
            cure = f'pip install "cuda-bindings=={cuda.partition(".")[0]}.*"'
            raise EngineError(f"cuda-bindings: {error}", f"those for this driver's CUDA {cuda}", cure) from error
        if int(status):
            _, text = self._cuda.cuGetErrorString(status)
            told = text.decode(errors="replace") if text else str(status)
            raise EngineError(f"CUDA failed at {what}: {told}")
        return results[0] if results else None

    def close(self) -> None:
        """See :meth:`Driver.close`. Everything is tried; the first failure is raised."""
        failed: EngineError | None = None
        while self._undo:
            try:
                self.guard(*self._undo.pop())
            except EngineError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _make(self, what: str, make: Callable[..., Any], undo: Callable[..., Any], *arguments: Any) -> Any:
        """What a call makes, remembered until :meth:`close` undoes it."""
        thing = self._call(what, make, *arguments)
        self._undo.append((what, partial(undo, thing)))
        return thing

    def _call(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.guard(what, lambda: function(*arguments))
