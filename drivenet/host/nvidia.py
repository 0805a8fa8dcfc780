"""Asks the NVIDIA driver what is there, before any library that would crash without it is touched."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

_MAJOR, _MINOR, _INTEGRATED = 75, 76, 18  # CU_DEVICE_ATTRIBUTE_*


@dataclass(frozen=True)
class Gpu:
    """Device 0, or why there is none.

    Args:
        missing: what keeps it from being used, empty if nothing does.
        name: as the driver calls it.
        compute_capability: such as ``8.7``.
        cuda: the CUDA version that the driver supports, such as ``12.2``.
        integrated: whether it shares its memory with the processor, as on a Jetson.
    """

    missing: str = ""
    name: str = ""
    compute_capability: str = ""
    cuda: str = ""
    integrated: bool = False


@functools.lru_cache(maxsize=1)
def probe(library: str = "libcuda.so.1") -> Gpu:
    """Device 0 as the driver sees it; the answer is kept, since a driver does not come while we run."""
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        return Gpu(missing=f"no NVIDIA driver ({error})")
    status = driver.cuInit(0)
    if status:
        return Gpu(missing=f"the NVIDIA driver does not start (cuInit returned {status})")
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    if not count.value:
        return Gpu(missing="the NVIDIA driver sees no GPU")
    return _describe(driver)


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
    )


def _attribute(driver: ctypes.CDLL, attribute: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
    return value.value
