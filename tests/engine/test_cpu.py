"""Counting cores from kernel files laid out as Linux lays them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drivenet.host import cpu


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n", encoding="utf-8")
    return root


def siblings(pairs: dict[int, str]) -> dict[str, str]:
    return {f"sys/devices/system/cpu/cpu{i}/topology/thread_siblings_list": text for i, text in pairs.items()}


def count(root: Path, monkeypatch: pytest.MonkeyPatch, allowed: set[int]) -> int:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed, raising=False)
    return cpu.physical_cores(root / "sys", root / "proc")


def test_two_threads_of_one_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lay(tmp_path, siblings({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}))
    assert count(root, monkeypatch, {0, 1, 2, 3}) == 2
    assert count(root, monkeypatch, {0, 2}) == 1
    assert count(root, monkeypatch, {0, 3}) == 2


def test_without_topology_every_processor_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count(tmp_path, monkeypatch, {0, 1, 5}) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu.physical_cores(tmp_path, tmp_path) == 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "100000 100000"}, 1),
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpu.max": "350000 100000"}, 3),
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpu.max": "50000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 4),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "9900000 100000"}, 4),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "rubbish"}, 4),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/x",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            4,
        ),
    ],
)
def test_a_control_group_limits_the_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    root = lay(tmp_path, {**siblings({i: str(i) for i in range(4)}), **files})
    assert count(root, monkeypatch, {0, 1, 2, 3}) == expected


def test_names_the_processor_or_the_board(tmp_path: Path) -> None:
    assert cpu.cpu_model(lay(tmp_path / "x86", {"cpuinfo": "processor\t: 0\nmodel name\t: Fast 9000"})) == "Fast 9000"
    assert (
        cpu.cpu_model(lay(tmp_path / "arm", {"cpuinfo": "processor: 0", "device-tree/model": "Jetson\0"})) == "Jetson"
    )
    assert cpu.cpu_model(tmp_path)


def test_counts_this_machine() -> None:
    assert 1 <= cpu.physical_cores() <= (os.cpu_count() or 1)
