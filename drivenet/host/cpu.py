"""The processor this process may use: its physical cores within affinity and cgroup limits, and its name."""

from __future__ import annotations

import os
import platform
from pathlib import Path

SYS, PROC = Path("/sys"), Path("/proc")


def physical_cores(sysfs: Path = SYS, procfs: Path = PROC) -> int:
    """How many physical cores this process may keep busy, at least 1.

    Two threads of one core share its arithmetic units: a second compute thread on them costs more than it gives.
    """
    topology = [sysfs / f"devices/system/cpu/cpu{i}/topology/thread_siblings_list" for i in sorted(_allowed())]
    # A processor without topology (some virtual machines) counts as a core of its own.
    cores = {_read(file) or str(file) for file in topology}
    quota = _quota(sysfs, procfs)
    return max(1, len(cores) if quota is None else min(len(cores), int(quota)))


def cpu_model(procfs: Path = PROC) -> str:
    """The processor's or, where it does not tell (arm), the board's name; the architecture if neither is known."""
    for line in _read(procfs / "cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    board = _read(procfs / "device-tree/model").strip("\0")
    return board or platform.machine()


def _allowed() -> set[int]:
    """Numbers of the logical processors that the scheduler may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _quota(sysfs: Path, procfs: Path) -> float | None:
    """Processors' worth of time that the control groups allow: the least of this group and those above it."""
    limits = []
    for line in _read(procfs / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = sysfs / "fs/cgroup" / controllers
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            limits.append(_limit(folder))
            if folder == root:
                break
    return min((limit for limit in limits if limit), default=None)


def _limit(group: Path) -> float | None:
    """One group's quota divided by its period; None if it has none. Version 2, then version 1."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:  # "max" and -1 mean no limit
        return None
    return int(quota) / int(period)


def _read(file: Path) -> str:
    """A kernel file's text, empty if there is none."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
