"""What lies compiled beside an ONNX, how well it keeps to its reference, and whether this machine would run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drivenet.artefacts.admission import admit
from drivenet.artefacts.compiled import artefacts_beside
from drivenet.artefacts.passport import Parity, read_passport
from drivenet.errors import EngineError

#: What this machine is to a backend; EngineError where it lacks what the backend needs.
Here = Callable[[str], Mapping[str, str]]


def list_built(onnx: Path, here: Here) -> list[dict[str, Any]]:
    """One row for every compiled artefact of an ONNX.

    Args:
        onnx: the model.
        here: :func:`drivenet.engine.machine`; the artefacts themselves know no backend.

    Returns:
        ``file``, ``backend``, ``precision``; ``parity`` with the figures of its passport, None without an intact one;
        ``admitted``: whether it may run here, and else ``why_not``, with the command that mends it.
    """
    return [_row(*row, here) for row in artefacts_beside(onnx)]


def _row(file: Path, backend: str, precision: str, here: Here) -> dict[str, Any]:
    parity: Parity | None = None
    why_not = ""
    try:
        parity = read_passport(file).parity
        admit(file, backend, here(backend))
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
