"""The few CUDA calls that an engine needs, over pycuda or, where that is not installed, over cuda-bindings.

Everything here belongs to the thread that opened it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from drivenet.errors import EngineError
from drivenet.host.nvidia import Gpu, probe

#: Python package to ``module:Class``, the preferred first.
DRIVERS = {
    "pycuda": "drivenet.engine.cuda.pycuda:PycudaDriver",
    "cuda.bindings": "drivenet.engine.cuda.bindings:BindingsDriver",
}


@dataclass
class Buffer:
    """Page-locked host memory and the device's view of it.

    Args:
        host: uint8 of the tensor's shape.
        device: address for TensorRT.
        mapped: whether both are the same memory, so that nothing need be copied.
    """

    host: npt.NDArray[np.uint8]
    device: int
    mapped: bool


class Driver:
    """Device 0 through its primary context, which PyTorch and others in this process share.

    Every method raises EngineError with CUDA's own message when the device fails.
    """

    #: The Python package that it goes through.
    package = "none"

    def buffer(self, shape: tuple[int, ...], mapped: bool) -> Buffer:
        """Page-locked memory of a shape, uint8; ``mapped`` shares it with the device instead of doubling it.

        It is there until :meth:`close`.
        """
        raise NotImplementedError

    def stream(self) -> Any:
        """A new stream, which waits for no other and makes none wait."""
        raise NotImplementedError

    def handle(self, stream: Any) -> int:
        """The number by which TensorRT knows a stream."""
        raise NotImplementedError

    def upload(self, buffer: Buffer, stream: Any) -> None:
        """Queue the copy from host to device."""
        raise NotImplementedError

    def download(self, buffer: Buffer, stream: Any) -> None:
        """Queue the copy from device to host."""
        raise NotImplementedError

    def event(self) -> Any:
        """A new event whose waiters sleep instead of spinning."""
        raise NotImplementedError

    def wait(self, event: Any, stream: Any) -> None:
        """Wait until all that was queued on a stream is done."""
        raise NotImplementedError

    def guard(self, what: str, call: Callable[[], Any]) -> Any:
        """The result of a call; EngineError with CUDA's message if it fails."""
        raise NotImplementedError

    def close(self) -> None:
        """Free all that was made here and let the context go. Who still holds a stream or event drops it before."""
        raise NotImplementedError


def require_gpu() -> Gpu:
    """Device 0; EngineError if there is none. Asked before TensorRT is touched, which crashes without a driver."""
    gpu = probe()
    if gpu.missing:
        raise EngineError(gpu.missing, "an NVIDIA GPU with its driver", "use --backend openvino or onnxruntime")
    return gpu


def open_driver() -> Driver:
    """Take device 0 for the calling thread; EngineError if there is no package or no device to go through."""
    require_gpu()
    return find_driver()()


def missing_package() -> str:
    """What keeps CUDA from being called, empty if one of the packages is installed."""
    return "" if any(map(_installed, DRIVERS)) else "neither pycuda nor cuda-bindings is installed"


def find_driver() -> Callable[[], Driver]:
    """What opens the first package that can be imported; EngineError if there is none."""
    cure = "pip install pycuda, or where it cannot be compiled: pip install cuda-bindings"
    broken = []
    for package, place in DRIVERS.items():
        if _installed(package):
            module, name = place.split(":")
            try:
                found: Callable[[], Driver] = getattr(importlib.import_module(module), name)
            except ImportError as error:  # built for another CUDA, or one of its libraries is missing
                broken.append(f"{package} cannot be imported: {error}")
                continue
            return found
    raise EngineError("; ".join(broken) or missing_package(), cure=cure)


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is missing
        return False
