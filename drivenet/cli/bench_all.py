"""Every precision that each model has on the backends of this processor, opened to be timed side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivenet.artefacts.spec_json import read_spec_json
from drivenet.backends import BACKENDS, Backend, ranked
from drivenet.build.build import build
from drivenet.build.request import BuildRequest
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.errors import DrivenetError
from drivenet.host.cpu_features import native_precisions
from drivenet.modelspec import spec_path

#: In tables, the exact one first.
_ORDER = ("fp32", "bf16", "fp16", "int8")


def backends() -> tuple[str, ...]:
    """Those that run on what is here without a plan for one GPU."""
    return tuple(backend.name for backend in reversed(ranked()) if backend.runs_onnx)


@dataclass(frozen=True)
class Candidate:
    """A row to be: a model in one precision on one backend; ``floats`` is what int8 leaves in float."""

    onnx: Path
    backend: str
    precision: str
    floats: str | None = None

    def __str__(self) -> str:
        rest = f", rest {self.floats}" if self.floats else ""
        return f"{self.onnx.stem} {self.backend} {self.precision}{rest}"


def candidates(models: Sequence[Path], backends: Sequence[str]) -> list[Candidate]:
    """What there is of some ONNX models on this processor, model by model.

    Args:
        models: ONNX files with their JSON beside them.
        backends: of :func:`backends`, which are wanted.

    Raises:
        ModelSpecError: for a model whose JSON is missing or not valid.
    """
    return [c for onnx in models for c in _of_model(onnx) if c.backend in backends]


def _of_model(onnx: Path) -> Iterator[Candidate]:
    precision = read_spec_json(spec_path(onnx)).precision
    for backend in (backend for backend in reversed(ranked()) if backend.runs_onnx):
        if not backend.suffix:
            yield Candidate(onnx, backend.name, precision)
        for built in sorted(backend.builds(precision), key=_ORDER.index):
            floats = _floats(backend) if built == "int8" else (None,)
            yield from (Candidate(onnx, backend.name, built, name) for name in floats)


def _floats(backend: Backend) -> tuple[str | None, ...]:
    """What the backend lets layers compute in that int8 leaves in float, as far as this processor has it."""
    choices = next((option.choices for option in backend.options if option.name == "floats"), ())
    return tuple(name for name in choices if name in native_precisions()) or (None,)


def open_all(rows: Sequence[Candidate], folder: Path, threads: int | None) -> tuple[list[Engine], dict[str, str]]:
    """The engines of some rows, compiled into ``folder`` past the gate where the backend compiles.

    Returns:
        The engines, which the caller closes, and by row why others could not be had.
    """
    engines: list[Engine] = []
    failed: dict[str, str] = {}
    for row in rows:
        try:
            engines.append(_opened(row, folder, threads))
        except DrivenetError as error:
            failed[str(row)] = str(error)
    return engines, failed


def _opened(row: Candidate, folder: Path, threads: int | None) -> Engine:
    if not BACKENDS[row.backend].suffix:
        return open_engine(row.onnx, row.backend, threads=threads)
    out = folder / (row.floats or "rest")  # artefacts of one precision have one name
    built = build(BuildRequest(row.onnx, row.backend, row.precision, out=out, options=_given(floats=row.floats)))
    engine = open_engine(built.file, threads=threads)
    engine.file = engine.spec.name  # the files are gone when the row is read
    return engine


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}
