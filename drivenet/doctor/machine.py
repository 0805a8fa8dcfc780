"""The doctor on the machine: Python, processor, GPU, Jetson, cameras, display, disk."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from drivenet.doctor.jetpack import jetpack_of
from drivenet.doctor.row import Row
from drivenet.host.cpu import cpu_model, physical_cores
from drivenet.host.cpu_features import native_precisions
from drivenet.host.nvidia import probe

#: Major release of Jetson Linux to that of JetPack.
_JETPACKS = {"35": "5", "36": "6", "38": "7", "39": "7"}
_MIN_FREE = 1 << 30


def check_python() -> Row:
    """Version 3.10 or newer."""
    good = sys.version_info >= (3, 10)
    cure = "" if good else "install Python 3.10 or newer: https://www.python.org/downloads/"
    return Row("Python", "ok" if good else "broken", f"{platform.python_version()} {platform.machine()}", cure)


def check_cpu() -> Row:
    """What it is called and computes natively."""
    native = ", ".join(native_precisions())
    return Row("processor", "ok", f"{cpu_model()}, {physical_cores()} physical cores to use; natively {native}")


def check_gpu() -> Row:
    """NVIDIA's driver and device 0."""
    gpu = probe()
    if gpu.missing:
        return Row("GPU and driver", "missing", gpu.missing, f"{gpu.cure or _driver_cure()}; not needed on a CPU")
    found = f"{gpu.name}, compute capability {gpu.compute_capability}, driver for CUDA {gpu.cuda}"
    return Row("GPU and driver", "ok", found)


def _driver_cure(root: Path = Path("/")) -> str:
    """What brings a driver where we are."""
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return "start the container with --gpus all, on a Jetson with --runtime nvidia"
    if is_jetson(root):
        return "sudo apt-get install nvidia-jetpack"
    return "https://www.nvidia.com/drivers"


def is_jetson(root: Path = Path("/")) -> bool:
    """Whether this is one, also in a container, which may lack the release file."""
    try:
        model = (root / "proc/device-tree/compatible").read_bytes()
    except OSError:
        model = b""
    return b"nvidia,tegra" in model or (root / "etc/nv_tegra_release").exists()


def check_jetson(root: Path = Path("/")) -> Row | None:
    """JetPack, power mode and clocks; nothing where this is no Jetson."""
    try:
        release = (root / "etc/nv_tegra_release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    major = match[1] if (match := re.search(r"R(\d+)", release)) else "?"
    found = f"JetPack {_JETPACKS.get(major, '?')} (Jetson Linux R{major})"
    if known := jetpack_of(release):
        found += f", {known.name} with CUDA {known.cuda} and TensorRT {known.tensorrt} for {known.modules}"
    found += f", power mode {_power_mode()}"
    if not _clocks_locked(root):
        cure = "sudo jetson_clocks, in the power mode that you want: nvpmodel -q --verbose"
        return Row("Jetson", "missing", f"{found}, clocks not locked", cure)
    return Row("Jetson", "ok", f"{found}, clocks locked")


def check_cameras(devices: Path = Path("/dev")) -> Row:
    """Video devices, and whether they may be read."""
    found = sorted(devices.glob("video*"))
    if not found:
        return Row("cameras", "missing", f"no {devices}/video*", "connect one, or give a file or rtsp:// address")
    closed = [str(d) for d in found if not os.access(d, os.R_OK | os.W_OK)]
    if closed:
        cure = 'sudo usermod -aG video "$USER", then log in again'
        return Row("cameras", "broken", f"{', '.join(closed)} may not be read by this user", cure)
    return Row("cameras", "ok", ", ".join(map(str, found)))


def check_display() -> Row:
    """Whether a desktop session is named; a window is not tried."""
    for name in ("WAYLAND_DISPLAY", "DISPLAY"):
        if os.environ.get(name):
            return Row("display", "ok", f"{name}={os.environ[name]}")
    told = "neither DISPLAY nor WAYLAND_DISPLAY is set"
    return Row("display", "missing", told, "leave --show out, or start from a desktop session")


def check_disk() -> Row:
    """Room for recordings where we stand."""
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    found = f"{free / 2**30:.1f} GiB free in {here}"
    if free < _MIN_FREE:
        return Row("disk", "broken", found, "free at least 1 GiB, or record elsewhere with --out")
    return Row("disk", "ok", found)


def _power_mode() -> str:
    """What nvpmodel says, ``unknown`` if it says nothing."""
    try:
        done = subprocess.run(["nvpmodel", "-q"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    match = re.search(r"NV Power Mode:\s*(\S+)", done.stdout)
    return match[1] if match else "unknown"


def _clocks_locked(root: Path) -> bool:
    """Whether the first core's lowest frequency is its highest, which is what jetson_clocks does."""
    folder = root / "sys/devices/system/cpu/cpu0/cpufreq"
    try:
        return (folder / "scaling_min_freq").read_text() == (folder / "scaling_max_freq").read_text()
    except OSError:
        return False


MACHINE = (check_python, check_cpu, check_gpu, check_jetson, check_cameras, check_display, check_disk)
