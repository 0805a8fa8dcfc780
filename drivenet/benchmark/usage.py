"""What a benchmark used of the machine, as far as the machine tells: CPU, memory, GPU, power, clocks, throttling."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from drivenet.host.throttling import number_in, throttle_count

_CPU = Path("/sys/devices/system/cpu")
_ENERGY = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
_GPU_FIELDS = {"memory_mb": "memory.used", "power_w": "power.draw", "clock_mhz": "clocks.sm",
               "throttled": "clocks_throttle_reasons.hw_slowdown"}  # fmt: skip


class Usage:
    """From :meth:`start` on, or over all spans between it and :meth:`pause`."""

    def __init__(self) -> None:
        self._cpu_ns = self._wall_ns = 0
        self._began = (0, 0)
        self._throttles, self._energy = throttle_count(), number_in(_ENERGY)
        self._since = time.monotonic_ns()

    def start(self) -> None:
        """Begin a span."""
        self._began = time.process_time_ns(), time.monotonic_ns()

    def pause(self) -> None:
        """End a span."""
        self._cpu_ns += time.process_time_ns() - self._began[0]
        self._wall_ns += time.monotonic_ns() - self._began[1]

    def to_dict(self) -> dict[str, Any]:
        """``cpu_percent`` (100 is one processor), ``rss_mb`` now and ``rss_peak_mb``, ``clock_mhz``, ``power_w`` of the
        processor package, ``throttled`` and ``gpu``; None for what the machine does not tell.
        """
        energy, throttles = number_in(_ENERGY), throttle_count()
        joules = None if energy is None or self._energy is None else (energy - self._energy) / 1e6
        seconds = (time.monotonic_ns() - self._since) / 1e9
        return {
            "cpu_percent": round(100 * self._cpu_ns / self._wall_ns, 1) if self._wall_ns else None,
            "rss_mb": _rss_mb(),
            "rss_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "clock_mhz": _clock_mhz(),
            "power_w": round(joules / seconds, 2) if joules is not None and joules > 0 and seconds > 0 else None,
            "throttled": None if throttles is None or self._throttles is None else throttles > self._throttles,
            "gpu": gpu(),
        }


def gpu() -> dict[str, Any] | None:
    """Memory, power, clock and throttling of the first NVIDIA GPU by ``nvidia-smi``; None where there is none."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    command = [tool, f"--query-gpu={','.join(_GPU_FIELDS.values())}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    values = [value.strip() for value in told.splitlines()[0].split(",")] if told.strip() else []
    return {name: _told(value) for name, value in zip(_GPU_FIELDS, values, strict=False)} or None


def _told(value: str) -> float | bool | None:
    if value in ("Active", "Not Active"):
        return value == "Active"
    try:
        return float(value)
    except ValueError:
        return None


def _rss_mb() -> float | None:
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
    return None


def _clock_mhz() -> float | None:
    found = [number_in(file) for file in _CPU.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
    known = [value for value in found if value is not None]
    return round(sum(known) / len(known) / 1000, 1) if known else None
