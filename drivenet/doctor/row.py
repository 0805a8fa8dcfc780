"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True)
class Row:
    """One part of the machine.

    Args:
        part: what was looked at.
        state: ``ok``; ``missing`` where drivenet does without it; ``broken`` where it is there and does not work,
            or drivenet cannot do without it.
        found: what there is.
        cure: the command or page that mends it; empty if it is ok.
    """

    part: str
    state: State
    found: str
    cure: str = ""

    def to_dict(self) -> dict[str, str]:
        """As JSON."""
        return asdict(self)
