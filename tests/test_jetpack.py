"""What the doctor says on each JetPack: which it is, and what mends its TensorRT."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from drivenet.doctor import libraries, machine
from drivenet.doctor.jetpack import installed_jetpack, jetpack_of, tensorrt_cure, tensorrt_fault
from drivenet.host.nvidia import Gpu

#: JetPack, the first line of /etc/nv_tegra_release, CUDA, TensorRT, and what the cure names.
RELEASES = [
    ("5.1", "# R35 (release), REVISION: 2.1, GCID: 32413640", "11.4", "8.5", "move to JetPack 6"),
    ("5.1", "# R35 (release), REVISION: 4.1, GCID: 33958178", "11.4", "8.5", "move to JetPack 6"),
    ("6.0", "# R36 (release), REVISION: 3.0, GCID: 36923193", "12.2", "8.6", "apt-get install nvidia-jetpack"),
    ("6.1", "# R36 (release), REVISION: 4.0, GCID: 37537400", "12.6", "10.3", "apt-get install nvidia-jetpack"),
    ("6.2", "# R36 (release), REVISION: 4.3, GCID: 38968081", "12.6", "10.3", "apt-get install nvidia-jetpack"),
    ("7.0", "# R38 (release), REVISION: 2.0, GCID: 1", "13.0", "10.13", "apt-get install nvidia-jetpack"),
    ("7.1", "# R38 (release), REVISION: 4.0, GCID: 1", "13.0", "10.13", "apt-get install nvidia-jetpack"),
    ("7.2", "# R39 (release), REVISION: 2.0, GCID: 1", "13.2", "10.16", "apt-get install nvidia-jetpack"),
]


@pytest.mark.parametrize(("name", "release", "cuda", "tensorrt", "cure"), RELEASES)
def test_each_release_and_what_brings_its_tensorrt(
    tmp_path: Path, name: str, release: str, cuda: str, tensorrt: str, cure: str
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(release)
    found = installed_jetpack(tmp_path)
    assert found is not None
    assert (found.name, found.cuda, found.tensorrt) == (name, cuda, tensorrt)
    assert cure in tensorrt_cure(found)
    assert f"TensorRT {tensorrt} of JetPack {name}" in tensorrt_cure(found)
    row = machine.check_jetson(tmp_path)
    assert row is not None
    assert f"JetPack {name[0]} (Jetson Linux R{release[3:5]}), {name} with CUDA {cuda}" in row.found


@pytest.mark.parametrize("text", ["# R99 (release), REVISION: 1.0", "# R34 (release), REVISION: 1.1", "", "R36"])
def test_a_release_that_is_not_known(text: str) -> None:
    assert jetpack_of(text) is None
    assert "apt-get install nvidia-jetpack" in tensorrt_cure(None)


@pytest.mark.parametrize(
    ("version", "capability", "good"),
    [("10.13.3.9", "8.7", False), ("10.16.2.10", "8.7", True), ("10.3.0.30", "8.7", True),
     ("8.5.2.2", "8.7", True), ("10.13.3.9", "11.0", True), ("10.13.3.9", "8.6", True)],
)  # fmt: skip
def test_a_tensorrt_without_kernels_of_orin(version: str, capability: str, good: bool) -> None:
    jetpack = jetpack_of("# R39 (release), REVISION: 2.0")
    row = tensorrt_fault(jetpack, version, capability)
    assert (row is None) == good
    if row:
        assert row.state == "broken"
        assert f"{version} has no kernels for this GPU (sm_87, Orin)" in row.found
        assert row.cure.startswith("pip uninstall -y tensorrt tensorrt-cu13")
        assert "sudo apt-get install nvidia-jetpack python3-libnvinfer (TensorRT 10.16 of JetPack 7.2)" in row.cure


def test_the_doctor_finds_the_wheel_on_an_orin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of the doctor itself, with a package that says what that wheel says."""
    package = ModuleType("tensorrt")
    package.__version__ = "10.13.3.9"  # type: ignore[attr-defined]
    package.__spec__ = libraries.importlib.util.spec_from_loader("tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt", package)
    monkeypatch.setattr(libraries, "probe", lambda: Gpu(name="Orin", compute_capability="8.7", cuda="13.2"))
    row = libraries.check_tensorrt()
    assert (row.part, row.state) == ("TensorRT", "broken")


#: A package that fails as TensorRT's bindings do: it logs why, and raises something unrelated.
BINDINGS = """
import os, signal
__version__ = "10.13.3.9"
class ILogger:
    ERROR, INTERNAL_ERROR, WARNING = 1, 0, 2
def Runtime(log):
    {start}
"""


@pytest.mark.parametrize(
    ("start", "state", "found", "cure"),
    [
        ("return object()", "ok", "10.13.3.9", ""),
        (
            "log.log(1, 'CUDA initialization failure with error: 35.'); raise TypeError('returned nullptr')",
            "broken",
            "TensorRT 10.13.3.9 does not start: CUDA initialization failure with error: 35.",
            "a newer driver, or TensorRT for its CUDA 12.4: pip install tensorrt-cu12",
        ),
        (
            "log.log(1, 'no memory'); return object()",
            "broken",
            "no memory",
            'pip install "drivenet[tensorrt]"',
        ),
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "broken",
            "TensorRT 10.13.3.9 crashes when it starts (signal 11)",
            'pip install "drivenet[tensorrt]"',
        ),
    ],
)
def test_the_doctor_starts_tensorrt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, start: str, state: str, found: str, cure: str
) -> None:
    """One for a newer CUDA than the driver's can be imported, and is of no use."""
    (tmp_path / "tensorrt.py").write_text(BINDINGS.format(start=start))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setattr(libraries, "probe", lambda: Gpu(name="RTX", compute_capability="8.9", cuda="12.4"))
    monkeypatch.setattr(libraries, "is_jetson", lambda: False)
    monkeypatch.setattr(libraries.platform, "machine", lambda: "x86_64")
    row = libraries.check_tensorrt()
    sys.modules.pop("tensorrt", None)
    assert (row.state, row.found, row.cure) == (state, found, cure)
