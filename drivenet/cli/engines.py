"""Which engine file a command's words mean."""

from __future__ import annotations

from pathlib import Path

from drivenet.engine.catalog import find
from drivenet.resources import engines_dir


def engine_file(name_or_file: str | None, backend: str | None) -> Path | None:
    """The file of a name, a path or, without either, the default; None for a null engine that needs no file.

    Raises:
        EngineError: if there is no such model or file, or no default.
    """
    if name_or_file is None and backend == "null":
        return None
    return find(name_or_file, engines_dir())
