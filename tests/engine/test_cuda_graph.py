"""CUDA graphs and the probe on a driver library made for the test: right arguments, and a stream that stays usable."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from drivenet.doctor import machine
from drivenet.engine.cuda.graph import capture
from drivenet.errors import EngineError
from drivenet.host import nvidia

SOURCE = """
#include <string.h>
static int capturing, launched, destroyed, fail;
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDriverGetVersion(int *v) { *v = 12020; return 0; }
int cuDeviceGetName(char *name, int n, int d) { strncpy(name, "Orin", n); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : a == 76 ? 7 : a == 16 ? 14 : 1; return 0; }
int cuGetErrorString(int e, const char **s) { *s = "operation not permitted when stream is capturing"; return 0; }
int cuStreamBeginCapture_v2(void *s, int mode) {
    if (s != (void *)0x123456789abc || mode != 1) return 1;
    capturing = 1;
    return 0;
}
int cuStreamEndCapture(void *s, void **g) { capturing = 0; *g = (void *)0x11; return fail; }
int cuGraphInstantiateWithFlags(void **x, void *g, unsigned long long f) {
    if (g != (void *)0x11 || f) return 1;
    *x = (void *)0x7fffffffffff;
    return 0;
}
int cuGraphLaunch(void *x, void *s) {
    if (x != (void *)0x7fffffffffff || s != (void *)0x123456789abc) return 1;
    launched++;
    return fail;
}
int cuGraphDestroy(void *g) { destroyed++; return 0; }
int cuGraphExecDestroy(void *x) { return 0; }
int graphs_destroyed(void) { return destroyed; }
int is_capturing(void) { return capturing; }
void set_fail(int status) { fail = status; }
"""
STREAM = 0x123456789ABC


ERRORS = 'int cuGetErrorString(int e, const char **s) { *s = "as the driver says"; return 0; }'


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made(tmp_path_factory.mktemp("driver"), SOURCE)


def made(folder: Path, source: str) -> str:
    """A driver library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a driver library with")
    (folder / "driver.c").write_text(source, encoding="utf-8")
    library = folder / "libdriver.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "driver.c"], check=True)
    return str(library)


def test_the_probe_describes_the_gpu(library: str) -> None:
    gpu = nvidia.probe.__wrapped__(library)
    assert gpu == nvidia.Gpu(name="Orin", compute_capability="8.7", cuda="12.2", integrated=True, multiprocessors=14)


def test_the_probe_says_what_is_missing(tmp_path: Path) -> None:
    assert "no NVIDIA driver" in nvidia.probe.__wrapped__(str(tmp_path / "nothing.so")).missing


def test_captures_and_launches(library: str) -> None:
    queued: list[str] = []
    graph, why = capture(STREAM, lambda: queued.append("steps"), library)
    assert graph is not None
    assert (why, queued) == ("", ["steps"])
    graph.launch(STREAM)
    with pytest.raises(EngineError, match="graph launch: operation not permitted"):
        graph.launch(1)
    graph.close()


def test_says_why_there_is_no_graph_and_ends_the_capture(library: str) -> None:
    import ctypes

    driver = ctypes.CDLL(library)
    assert capture(5, lambda: None, library) == (None, "operation not permitted when stream is capturing")

    def refuse() -> None:
        raise EngineError("cannot be captured")

    before = driver.graphs_destroyed()
    assert capture(STREAM, refuse, library) == (None, "cannot be captured")
    assert driver.graphs_destroyed() == before + 1
    assert driver.is_capturing() == 0
    driver.set_fail(900)
    graph, why = capture(STREAM, lambda: None, library)
    driver.set_fail(0)
    assert graph is None
    assert "not permitted" in why


def test_an_old_driver_without_graphs_is_named(tmp_path: Path) -> None:
    import ctypes.util

    libc = ctypes.util.find_library("c")
    assert libc is not None
    assert capture(STREAM, lambda: None, libc) == (None, "the driver lacks cuStreamBeginCapture_v2")


@pytest.mark.parametrize(
    ("status", "cure"),
    [(803, "restart the machine"), (999, "modprobe nvidia-uvm"), (100, "https://www.nvidia.com/drivers")],
)
def test_a_driver_that_does_not_start_says_why(
    status: int, cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = made(tmp_path, f"int cuInit(unsigned flags) {{ return {status}; }}" + ERRORS)
    found = nvidia.probe.__wrapped__(library)
    assert found.missing == f"the NVIDIA driver does not start (cuInit returned {status}: as the driver says)"
    monkeypatch.setattr(machine, "probe", lambda: found)
    monkeypatch.setattr(machine, "_driver_cure", lambda: "https://www.nvidia.com/drivers")
    row = machine.check_gpu()
    assert row.found == found.missing
    assert cure in row.cure
