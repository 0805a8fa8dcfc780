"""pycuda and cuda-bindings behind the same calls, on doubles with the real names that fail on every other one."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drivenet.engine.cuda import bindings
from drivenet.engine.cuda import driver as cuda
from drivenet.engine.cuda.bindings import BindingsDriver
from drivenet.engine.cuda.driver import Driver
from drivenet.engine.cuda.pycuda import PycudaDriver
from drivenet.errors import EngineError
from drivenet.host.nvidia import Gpu


class Device:
    """Memory by address, and the calls in their order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.memory: dict[int, Any] = {}
        self.fails = ""

    def allocate(self, size: int) -> int:
        block = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(block)
        self.memory[address] = block
        return address

    def free(self, address: int) -> None:
        del self.memory[address]


def fake_pycuda(device: Device) -> ModuleType:
    """``pycuda.driver`` as far as it is used; names and signatures from pycuda 2026.1's wrapper."""

    class Error(Exception):
        pass

    class Host:
        def __init__(self, size: int, mapped: bool) -> None:
            self.address, self.mapped = device.allocate(size), mapped

        def get_device_pointer(self) -> int:
            assert self.mapped
            return self.address

        def free(self) -> None:
            device.free(self.address)

    class Allocation:
        def __init__(self, size: int) -> None:
            self.address = device.allocate(size)

        def __int__(self) -> int:
            return self.address

        def free(self) -> None:
            device.free(self.address)

    class Array(np.ndarray):
        base: Any = None  # type: ignore[assignment]

    class Event:
        def __init__(self, flags: int) -> None:
            assert flags == 3, "a waiter sleeps, and no time is taken"

        def record(self, stream: Any) -> Any:
            device.calls.append("record")
            return self

        def synchronize(self) -> Any:
            if device.fails:
                raise Error(device.fails)
            device.calls.append("synchronize")
            return self

    class Context:
        @staticmethod
        def pop() -> None:
            device.calls.append("pop")

        def push(self) -> None:
            if device.fails:
                raise Error(device.fails)
            device.calls.append("push")

        def detach(self) -> None:
            device.calls.append("detach")

    def pagelocked_empty(shape: tuple[int, ...], dtype: str, order: str = "C", mem_flags: int = 0) -> Array:
        host = Host(int(np.prod(shape)), bool(mem_flags))
        array = np.ctypeslib.as_array(device.memory[host.address]).reshape(shape).view(Array)
        array.base = host
        return array

    def stream(flags: int) -> SimpleNamespace:
        assert flags == 1, "a blocking stream would wait for the legacy stream, and could not be captured beside it"
        return SimpleNamespace(handle=77)

    def memcpy_htod_async(dest: int, src: np.ndarray, stream: Any) -> None:
        ctypes.memmove(dest, src.ctypes.data, src.nbytes)
        device.calls.append("htod")

    def memcpy_dtoh_async(dest: np.ndarray, src: int, stream: Any) -> None:
        ctypes.memmove(dest.ctypes.data, src, dest.nbytes)
        device.calls.append("dtoh")

    module = ModuleType("pycuda.driver")
    names = {
        "Error": Error, "Event": Event, "Context": Context, "init": lambda: device.calls.append("init"),
        "Device": lambda i: SimpleNamespace(retain_primary_context=Context), "mem_alloc": Allocation,
        "Stream": stream, "pagelocked_empty": pagelocked_empty,
        "host_alloc_flags": SimpleNamespace(DEVICEMAP=2),
        "event_flags": SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2),
        "memcpy_htod_async": memcpy_htod_async, "memcpy_dtoh_async": memcpy_dtoh_async,
    }  # fmt: skip
    module.__dict__.update(names)
    return module


def fake_bindings(device: Device) -> ModuleType:
    """``cuda.bindings.driver`` as far as it is used; every call gives a status first, as in cuda-bindings 13.5."""

    def done(name: str, *results: Any) -> tuple[Any, ...]:
        device.calls.append(name)
        return (0, *results)

    def copy(name: str, dest: int, src: int, size: int) -> tuple[int]:
        ctypes.memmove(dest, src, size)
        device.calls.append(name)
        return (0,)

    def free(address: int) -> tuple[int]:
        device.free(address)
        return (0,)

    module = ModuleType("cuda.bindings.driver")
    names = {
        "cuInit": lambda flags: done("init"), "cuDeviceGet": lambda i: (0, 5),
        "cuDevicePrimaryCtxRetain": lambda dev: (0, "context"),
        "cuCtxPushCurrent": lambda ctx: (700,) if device.fails else done("push"),
        "cuCtxPopCurrent": lambda: done("pop", "context"), "cuDevicePrimaryCtxRelease": lambda dev: done("detach"),
        "cuMemHostAlloc": lambda size, flags: (0, device.allocate(size)), "cuMemFreeHost": free,
        "cuMemHostGetDevicePointer": lambda host, flags: (0, host),
        "cuMemAlloc": lambda size: (0, device.allocate(size)), "cuMemFree": free,
        "cuStreamCreate": lambda flags: (int(flags != 1), 77), "cuEventCreate": lambda flags: (int(flags != 3), 8),
        "cuStreamDestroy": lambda stream: done("destroy stream"), "cuEventDestroy": lambda event: done("destroy event"),
        "cuMemcpyHtoDAsync": lambda dst, src, size, stream: copy("htod", dst, src, size),
        "cuMemcpyDtoHAsync": lambda dst, src, size, stream: copy("dtoh", dst, src, size),
        "cuEventRecord": lambda event, stream: done("record"),
        "cuEventSynchronize": lambda event: (700,) if device.fails else done("synchronize"),
        "cuGetErrorString": lambda status: (0, device.fails.encode()),
    }  # fmt: skip
    module.__dict__.update(names)
    return module


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture(params=["pycuda", "cuda-bindings"])
def driver(request: pytest.FixtureRequest, device: Device, monkeypatch: pytest.MonkeyPatch) -> Driver:
    if request.param == "pycuda":
        fake = fake_pycuda(device)
        package = ModuleType("pycuda")
        package.driver = fake  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pycuda", package)
        monkeypatch.setitem(sys.modules, "pycuda.driver", fake)
        return PycudaDriver()
    install_bindings(fake_bindings(device), monkeypatch)
    return BindingsDriver()


def install_bindings(fake: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("cuda.bindings")
    package.driver = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", package)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", fake)


def test_copies_go_there_and_back_and_all_memory_is_freed(driver: Driver, device: Device) -> None:
    stream, event = driver.stream(), driver.event()
    assert driver.handle(stream) == 77
    buffer = driver.buffer((1, 4, 5, 3), mapped=False)
    assert (buffer.host.shape, buffer.host.dtype) == ((1, 4, 5, 3), np.uint8)
    picture = np.arange(60, dtype=np.uint8).reshape(1, 4, 5, 3)
    buffer.host[...] = picture
    driver.upload(buffer, stream)
    buffer.host[...] = 0
    driver.download(buffer, stream)
    driver.wait(event, stream)
    np.testing.assert_array_equal(buffer.host, picture)
    driver.close()
    freed = [] if driver.package == "pycuda" else ["destroy event", "destroy stream"]
    assert device.calls == ["init", "push", "htod", "dtoh", "record", "synchronize", *freed, "pop", "detach"]
    assert device.memory == {}


def test_shared_memory_is_one_block(driver: Driver, device: Device) -> None:
    buffer = driver.buffer((2, 3), mapped=True)
    assert buffer.mapped
    buffer.host[...] = 9
    assert list(device.memory[buffer.device]) == [9] * 6
    driver.close()
    assert device.memory == {}


def test_what_cannot_be_freed_keeps_nothing_else_from_being_freed(driver: Driver, device: Device) -> None:
    device.fails = "an illegal memory access was encountered"
    if driver.package == "pycuda":
        driver.buffer((2, 3), mapped=False)
        driver.close()  # it prints such failures itself
    else:
        sys.modules["cuda.bindings.driver"].cuMemFree = lambda address: (700,)  # type: ignore[attr-defined]
        driver.buffer((2, 3), mapped=False)
        with pytest.raises(EngineError, match="CUDA failed at device memory: an illegal memory access"):
            driver.close()
    assert device.calls[-2:] == ["pop", "detach"]


def test_a_device_error_carries_the_message_of_cuda(driver: Driver, device: Device) -> None:
    device.fails = "an illegal memory access was encountered"
    with pytest.raises(EngineError, match="CUDA failed at the inference: an illegal memory access"):
        driver.wait(driver.event(), driver.stream())


def test_bindings_for_a_newer_cuda_than_the_drivers_name_the_right_ones(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuda-bindings 12 and 13 raise this over the driver of JetPack 5."""

    def too_new(flags: int) -> Any:
        raise RuntimeError("Failed to get cuGetProcAddress_v2")

    monkeypatch.setattr(bindings, "probe", lambda: Gpu(name="Xavier", cuda="11.4"))
    fake = fake_bindings(device)
    fake.cuInit = too_new  # type: ignore[attr-defined]
    install_bindings(fake, monkeypatch)
    told = r"cuda-bindings: Failed to get cuGetProcAddress_v2; .* CUDA 11\.4; pip install \"cuda-bindings==11\.\*\""
    with pytest.raises(EngineError, match=told):
        BindingsDriver()


def test_a_context_that_cannot_be_used_is_given_back(driver: Driver, device: Device) -> None:
    driver.close()
    device.calls.clear()
    device.fails = "out of memory"
    with pytest.raises(EngineError, match="CUDA failed at its context: out of memory"):
        type(driver)()
    assert device.calls == ["init", "detach"]


def test_without_a_package_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "require_gpu", lambda: None)
    monkeypatch.setattr(cuda, "_installed", lambda package: False)
    with pytest.raises(EngineError, match="pip install pycuda"):
        cuda.open_driver()


def test_pycuda_goes_first(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "require_gpu", lambda: None)
    monkeypatch.setattr(cuda, "_installed", lambda package: package.startswith(driver.package.partition("-")[0]))
    assert cuda.open_driver().package == driver.package


def test_a_package_that_is_there_and_does_not_load_makes_way_for_the_next(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cuda_of_another_release.py").write_text("raise ImportError('libcurand.so.11: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cuda, "require_gpu", lambda: None)
    monkeypatch.setattr(cuda, "_installed", lambda package: True)
    broken = {"pycuda": "cuda_of_another_release:Driver"}
    works = {"works": f"{type(driver).__module__}:{type(driver).__name__}"}
    monkeypatch.setattr(cuda, "DRIVERS", {**broken, **works})
    assert cuda.open_driver().package == driver.package
    monkeypatch.setattr(cuda, "DRIVERS", broken)
    with pytest.raises(EngineError, match=r"pycuda cannot be imported: libcurand.so.11.*; pip install pycuda"):
        cuda.open_driver()
