"""Compiled artefacts by their names: which files they are, where they lie, which one belongs to an ONNX."""

from __future__ import annotations

import shlex
from pathlib import Path

from drivenet.artefacts.passport import passport_path, read_passport
from drivenet.errors import EngineError
from drivenet.files import sha256_of

#: The suffix of the file that is named to an engine, by backend.
SUFFIXES = {"tensorrt": ".plan", "openvino": ".xml"}
#: What ``auto`` prefers among artefacts of one ONNX: the fastest that keeps to the reference, then the exact one.
PREFERENCE = ("int8", "fp16", "bf16", "fp32")


def artefact_path(onnx: Path, backend: str, precision: str, folder: Path) -> Path:
    """Where the artefact of an ONNX goes: ``fast.onnx`` in fp16 becomes ``fast-fp16.plan``."""
    return folder / f"{onnx.stem}-{precision}{SUFFIXES[backend]}"


def artefacts_beside(onnx: Path) -> list[tuple[Path, str, str]]:
    """File, backend and precision of what lies compiled beside an ONNX, or of which the passport alone is left."""
    named = [(artefact_path(onnx, b, p, onnx.parent), b, p) for b in SUFFIXES for p in PREFERENCE]
    return [row for row in named if row[0].is_file() or passport_path(row[0]).is_file()]


def backend_of(file: Path) -> str | None:
    """The backend whose compiled artefact a file is by its suffix; None for an ONNX and all else."""
    return next((backend for backend, suffix in SUFFIXES.items() if file.suffix == suffix), None)


def build_command(onnx: Path, backend: str, precision: str) -> str:
    """The command that makes the artefact of an ONNX."""
    return shlex.join(["drivenet", "build", str(onnx), "--backend", backend, "--precision", precision])


def find_built(onnx: Path, backend: str, precision: str = "auto") -> Path | None:
    """The artefact beside an ONNX that was built from just this file, None if there is none.

    Args:
        onnx: the model.
        backend: whose artefact.
        precision: ``auto`` takes the first of :data:`PREFERENCE` that is there.

    Raises:
        EngineError: for an artefact of that name that was built from another ONNX or has no valid passport.
    """
    for wanted in PREFERENCE if precision == "auto" else (precision,):
        file = artefact_path(onnx, backend, wanted, onnx.parent)
        if file.is_file():
            passport = read_passport(file)
            if passport.onnx_sha256 != sha256_of(onnx):
                cure = f"build it again: {build_command(onnx, backend, wanted)}"
                raise EngineError(f"{file} was built from another {onnx.name}", cure=cure)
            return file
    return None
