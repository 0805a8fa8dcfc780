"""Compiled artefacts by their names: which files they are, where they are, which one belongs to an ONNX."""

from __future__ import annotations

import shlex
from pathlib import Path

from drivenet.artefacts.passport import passport_path, read_passport
from drivenet.artefacts.store import places_of
from drivenet.backends import BACKENDS, compiling
from drivenet.errors import EngineError
from drivenet.files import digest_of

#: What ``auto`` prefers among artefacts of one ONNX: the fastest that keeps to the reference, then the exact one.
PREFERENCE = ("int8", "fp16", "bf16", "fp32")


def artefact_path(onnx: Path, backend: str, precision: str, folder: Path) -> Path:
    """Where the artefact of an ONNX goes: ``fast.onnx`` in fp16 becomes ``fast-fp16.plan``."""
    return folder / f"{onnx.stem}-{precision}{BACKENDS[backend].suffix}"


def artefacts_of(onnx: Path) -> list[tuple[Path, str, str]]:
    """File, backend and precision of what was compiled from an ONNX, or of which the passport alone is left.

    Beside the ONNX everything counts that has the name; elsewhere what was built from just this file.
    """
    found = []
    for folder in places_of(onnx):
        named = [(artefact_path(onnx, b.name, p, folder), b.name, p) for b in compiling() for p in PREFERENCE]
        there = [row for row in named if row[0].is_file() or passport_path(row[0]).is_file()]
        found += [row for row in there if folder == onnx.parent or _built_from(row[0], onnx)]
    return found


def backend_of(file: Path) -> str | None:
    """The backend whose compiled artefact a file is by its suffix; None for an ONNX and all else."""
    return next((backend.name for backend in compiling() if file.suffix == backend.suffix), None)


def build_command(onnx: Path, backend: str, precision: str) -> str:
    """The command that makes the artefact of an ONNX."""
    return shlex.join(["drivenet", "build", str(onnx), "--backend", backend, "--precision", precision])


def find_built(onnx: Path, backend: str, precision: str = "auto") -> Path | None:
    """The artefact that was built from just this ONNX, None if there is none.

    Args:
        onnx: the model.
        backend: whose artefact.
        precision: ``auto`` takes the first of :data:`PREFERENCE` that is there.

    Raises:
        EngineError: for an artefact of that name beside the ONNX that was built from another one or has no valid
            passport, where no other folder has a better one.
    """
    for wanted in PREFERENCE if precision == "auto" else (precision,):
        for folder in places_of(onnx):
            file = artefact_path(onnx, backend, wanted, folder)
            if file.is_file() and _built_from(file, onnx):
                return file
        beside = artefact_path(onnx, backend, wanted, onnx.parent)
        if beside.is_file():
            read_passport(beside)
            cure = f"build it again: {build_command(onnx, backend, wanted)}"
            raise EngineError(f"{beside} was built from another {onnx.name}", cure=cure)
    return None


def _built_from(artefact: Path, onnx: Path) -> bool:
    """Whether an intact passport says that an artefact was built from just this file."""
    try:
        return read_passport(artefact).onnx_sha256 == digest_of(onnx)
    except EngineError:
        return False
