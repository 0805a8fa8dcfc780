"""Whether the machine slows itself down because it is hot."""

from __future__ import annotations

from pathlib import Path

from drivenet.host.cpu import SYS
from drivenet.latency import now_ns

#: Between two looks: a dozen small files.
_EVERY_NS = 2_000_000_000


class Throttling:
    """Looks at the kernel's files at most every two seconds: the thermal zones, which on a Jetson are what
    ``tegrastats`` prints, and the counters of processors that count their throttling.

    Args:
        sysfs: where the kernel's files are.
    """

    def __init__(self, sysfs: Path = SYS) -> None:
        self._sysfs = sysfs
        self._count = throttle_count(sysfs)
        self._looked_ns, self._found = -_EVERY_NS, False

    def __call__(self) -> bool:
        """Whether it throttles, or did since the last look."""
        if now_ns() - self._looked_ns >= _EVERY_NS:
            self._looked_ns, self._found = now_ns(), self._look()
        return self._found

    def _look(self) -> bool:
        before, self._count = self._count, throttle_count(self._sysfs)
        counted = before is not None and self._count is not None and self._count > before
        return counted or any(map(_is_hot, self._sysfs.glob("class/thermal/thermal_zone*")))


def throttle_count(sysfs: Path = SYS) -> int | None:
    """How often all processors throttled since the start; None where they do not count."""
    files = sysfs.glob("devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count")
    known = [count for count in map(number_in, files) if count is not None]
    return sum(known) if known else None


def _is_hot(zone: Path) -> bool:
    """Whether a thermal zone is at a point from which on the kernel slows something down."""
    now = number_in(zone / "temp")
    if now is None:
        return False
    for kind in zone.glob("trip_point_*_type"):
        limit = number_in(zone / kind.name.replace("_type", "_temp"))
        if _text(kind) in ("passive", "hot") and limit is not None and 0 < limit <= now:
            return True
    return False


def number_in(file: Path) -> int | None:
    """The whole number that a file of the kernel holds; None where it cannot be read or holds none."""
    text = _text(file)
    return int(text) if text.lstrip("-").isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        return ""
