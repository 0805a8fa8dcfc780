"""The errors of a run: whose they are, and how all of them reach the caller."""

from __future__ import annotations

from collections.abc import Sequence

from drivenet.errors import DrivenetError, EngineError, SourceError


def part_of(error: BaseException) -> str:
    """The part of a node that an error belongs to, as :class:`~drivenet.health.Health` names it."""
    if isinstance(error, SourceError):
        return "source"
    return "engine" if isinstance(error, EngineError) else "outputs"


def raise_all(errors: Sequence[BaseException]) -> None:
    """Raise the first error, if there is one, with the others as its ``also`` and in its notes (Python 3.11)."""
    if not errors:
        return
    first, *others = errors
    if isinstance(first, DrivenetError):
        first.also = tuple(others)
    if hasattr(first, "add_note"):
        for other in others:
            first.add_note(f"also: {other}")
    raise first
