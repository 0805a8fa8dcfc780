"""Asks the NVIDIA driver what is there, before any library that would crash without it is touched."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

_MAJOR, _MINOR, _INTEGRATED, _MULTIPROCESSORS = 75, 76, 18, 16  # CU_DEVICE_ATTRIBUTE_*
#: What mends a driver that does not start, by the status of cuInit (CUDA's cuda.h).
_CURES = {
    34: "that libcuda.so.1 is for linking alone: take its folder (stubs) out of LD_LIBRARY_PATH",
    803: "restart the machine: the driver was updated, and its kernel module is still the old one",
    804: "take CUDA's compat folder out of LD_LIBRARY_PATH: this GPU does not run with it",
    999: "load its kernel modules, sudo modprobe nvidia-uvm, or restart the machine",
}


@dataclass(frozen=True)
class Gpu:
    """Device 0, or why there is none.

    Args:
        missing: what keeps it from being used, empty if nothing does.
        cure: what mends that, where it is known.
        name: as the driver calls it.
        compute_capability: such as ``8.7``.
        cuda: the CUDA version that the driver supports, such as ``12.2``.
        integrated: whether it shares its memory with the processor, as on a Jetson.
        multiprocessors: how many of them are on, as the power mode of a Jetson has it.
    """

    missing: str = ""
    cure: str = ""
    name: str = ""
    compute_capability: str = ""
    cuda: str = ""
    integrated: bool = False
    multiprocessors: int = 0


@functools.lru_cache(maxsize=1)
def probe(library: str = "libcuda.so.1") -> Gpu:
    """Device 0 as the driver sees it; the answer is kept, since a driver does not come while we run."""
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        return Gpu(missing=f"no NVIDIA driver ({error})")
    status = driver.cuInit(0)
    if status:
        told = f"the NVIDIA driver does not start (cuInit returned {status}: {message(driver, status)})"
        return Gpu(missing=told, cure=_CURES.get(status, ""))
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    if not count.value:
        return Gpu(missing="the NVIDIA driver sees no GPU")
    return _describe(driver)


def message(driver: ctypes.CDLL, status: int) -> str:
    """What the driver says about a status."""
    text = ctypes.c_char_p()
    driver.cuGetErrorString(status, ctypes.byref(text))
    return text.value.decode(errors="replace") if text.value else f"status {status}"


def _describe(driver: ctypes.CDLL) -> Gpu:
    device, version = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDriverGetVersion(ctypes.byref(version))
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, 256, device)
    return Gpu(
        name=name.value.decode(errors="replace"),
        compute_capability=f"{_attribute(driver, _MAJOR, device)}.{_attribute(driver, _MINOR, device)}",
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        integrated=bool(_attribute(driver, _INTEGRATED, device)),
        multiprocessors=_attribute(driver, _MULTIPROCESSORS, device),
    )


def _attribute(driver: ctypes.CDLL, attribute: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
    return value.value
