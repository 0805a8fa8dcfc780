"""What of this machine drivenet can use, and for all that it cannot, the one thing that mends it."""

from __future__ import annotations

from drivenet.doctor.libraries import LIBRARIES
from drivenet.doctor.machine import MACHINE
from drivenet.doctor.row import Row

#: Every check, in the order of the report.
CHECKS = (*MACHINE, *LIBRARIES)


def examine() -> list[Row]:
    """Run every check. A check that fails itself is a row that says so; none ends the others."""
    rows = []
    for check in CHECKS:
        try:
            found = check()
        except Exception as error:  # noqa: BLE001 (a broken library may raise anything while it is looked at)
            name = check.__name__.removeprefix("check_").replace("_", " ")
            found = Row(name, "broken", f"{type(error).__name__}: {error}", "install drivenet again: pip install .")
        rows += [] if found is None else [found]
    return rows
