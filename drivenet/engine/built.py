"""What lies compiled beside an ONNX, how well it keeps to its reference, and whether this machine would run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivenet.engine.admission import admit
from drivenet.engine.artefacts import artefacts_beside
from drivenet.engine.passport import Parity, read_passport
from drivenet.errors import EngineError


def list_built(onnx: Path) -> list[dict[str, Any]]:
    """One row for every compiled artefact of an ONNX.

    Returns:
        ``file``, ``backend``, ``precision``; ``parity`` with the figures of its passport, None without an intact one;
        ``admitted``: whether it may run here, and else ``why_not``, with the command that mends it.
    """
    return [_row(*row) for row in artefacts_beside(onnx)]


def _row(file: Path, backend: str, precision: str) -> dict[str, Any]:
    parity: Parity | None = None
    why_not = ""
    try:
        parity = read_passport(file).parity
        admit(file, backend, _here(backend))
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


def _here(backend: str) -> dict[str, str]:
    """What this machine is to a backend, imported now; EngineError where it lacks what the backend needs."""
    if backend == "openvino":
        from drivenet.engine import openvino_model

        return openvino_model.machine()
    from drivenet.engine import tensorrt
    from drivenet.engine.cuda import require_gpu
    from drivenet.engine.tensorrt_session import import_tensorrt

    gpu = require_gpu()
    return tensorrt.machine(import_tensorrt(), gpu)
