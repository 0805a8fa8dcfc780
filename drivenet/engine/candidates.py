"""Every engine of a model that can run here and keeps to its reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drivenet.artefacts.compiled import artefacts_of, backend_of
from drivenet.artefacts.family import beside
from drivenet.artefacts.passport import read_passport
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.backends import BACKENDS, Backend, ranked
from drivenet.errors import DrivenetError
from drivenet.modelspec import ModelSpec, spec_path

#: Precisions of ONNX files that an fp32 ONNX may be served by, once they were compiled and passed the parity check.
_LOWER = ("int8",)


@dataclass(frozen=True)
class Candidate:
    """An engine that may serve a model.

    Args:
        file: what is opened.
        backend: what opens it.
        precision: what it computes in.
        seal: of its passport; empty for an ONNX that runs as it is.
        parity: how it keeps to its reference, for people; empty for the exact one.
    """

    file: Path
    backend: str
    precision: str
    seal: str = ""
    parity: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is, as measurements name it."""
        return str(self.file), self.backend, self.precision, self.seal


def sources_of(onnx: Path) -> list[tuple[Path, ModelSpec]]:
    """An ONNX and those of the same network in a lower precision, with their specs; none where it has no JSON."""
    try:
        spec = read_spec_json(spec_path(onnx))
    except DrivenetError:
        return []
    files = [beside(onnx, spec, precision) for precision in _LOWER if spec.precision == "fp32"]
    return [(onnx, spec), *((file, read_spec_json(spec_path(file))) for file in files if file is not None)]


def candidates(onnx: Path, backend: str = "auto", precision: str = "auto") -> list[Candidate]:
    """The engines that can serve a model here, the exact ones first.

    Args:
        onnx: the model; a compiled artefact is not one.
        backend: ``auto``, or the only one that counts.
        precision: ``auto``, or the only one that counts.
    """
    if backend_of(onnx) is not None:
        return []
    usable = [b for b in ranked() if backend in ("auto", b.name)]
    sources = sources_of(onnx)
    found = [candidate for source in sources[:1] for candidate in _as_it_is(*source, usable)]
    found += [c for file, _ in sources for c in _compiled(file, [b for b in usable if b.suffix])]
    return [candidate for candidate in found if precision in ("auto", candidate.precision)]


def _as_it_is(onnx: Path, spec: ModelSpec, usable: list[Backend]) -> Iterator[Candidate]:
    for backend in usable:
        if backend.runs_onnx and not backend.against(spec.precision):
            yield Candidate(onnx, backend.name, spec.precision)


def _compiled(onnx: Path, usable: list[Backend]) -> Iterator[Candidate]:
    """What was compiled and passed its parity check; whether it is for this machine is checked when it is opened."""
    names = {backend.name for backend in usable}
    for file, backend, precision in artefacts_of(onnx):
        if backend not in names or BACKENDS[backend].against(precision):
            continue
        try:
            passport = read_passport(file)
        except DrivenetError:
            continue
        if passport.parity is not None and passport.parity.passed:
            yield Candidate(file, backend, precision, passport.seal, f"{passport.parity.agreement:.2%}")
