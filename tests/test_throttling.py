"""Hot machines, as the kernel's files tell of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivenet.host import throttling
from drivenet.host.throttling import Throttling, throttle_count


@pytest.fixture(autouse=True)
def _always_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "_EVERY_NS", 0)


def zone(sysfs: Path, temp: int, **trips: int) -> Path:
    folder = sysfs / "class" / "thermal" / "thermal_zone0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "temp").write_text(f"{temp}\n")
    for n, (kind, limit) in enumerate(trips.items()):
        (folder / f"trip_point_{n}_type").write_text(f"{kind}\n")
        (folder / f"trip_point_{n}_temp").write_text(f"{limit}\n")
    return folder


def test_a_machine_that_tells_nothing_does_not_throttle(tmp_path: Path) -> None:
    assert not Throttling(tmp_path)()
    assert throttle_count(tmp_path) is None


def test_a_zone_is_hot_at_its_passive_point_and_not_where_a_fan_starts(tmp_path: Path) -> None:
    throttles = Throttling(tmp_path)
    zone(tmp_path, 60_000, active=50_000, passive=80_000, critical=105_000)
    assert not throttles()
    zone(tmp_path, 80_000)
    assert throttles()
    zone(tmp_path, 70_000)
    assert not throttles()


def test_a_processor_that_counts_more_than_before_has_throttled(tmp_path: Path) -> None:
    counters = [tmp_path / f"devices/system/cpu/cpu{n}/thermal_throttle/core_throttle_count" for n in range(2)]
    for counter in counters:
        counter.parent.mkdir(parents=True)
        counter.write_text("3\n")
    throttles = Throttling(tmp_path)
    assert not throttles()
    counters[1].write_text("4\n")
    assert throttles()
    assert not throttles()
