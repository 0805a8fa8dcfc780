"""What was compiled from an ONNX, how well it keeps to its reference, and whether this machine would run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivenet.artefacts.admission import admit
from drivenet.artefacts.compiled import artefacts_of
from drivenet.artefacts.passport import Parity, read_passport
from drivenet.backends import BACKENDS
from drivenet.errors import EngineError


def list_built(onnx: Path) -> list[dict[str, Any]]:
    """One row for every compiled artefact of an ONNX.


    Returns:
        ``file``, ``backend``, ``precision``; ``parity`` with the figures of its passport, None without an intact one;
        ``admitted``: whether it may run here, and else ``why_not``, with the command that mends it.
    """
    return [_row(*row) for row in artefacts_of(onnx)]


def _row(file: Path, backend: str, precision: str) -> dict[str, Any]:
    parity: Parity | None = None
    why_not = ""
    try:
        parity = read_passport(file).parity
        admit(file, backend, BACKENDS[backend].here())
    except EngineError as error:
        why_not = str(error)
    return {
        "file": str(file),
        "backend": backend,
        "precision": precision,
        "parity": parity.model_dump(mode="json") if parity else None,
        "admitted": not why_not,
        "why_not": why_not or None,
    }
