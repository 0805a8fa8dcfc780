"""Every precision that each model has on the backends of this processor, opened to be timed side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivenet.artefacts.spec_json import read_spec_json
from drivenet.build.build import build
from drivenet.build.request import BuildRequest
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.engine.cpu_features import native_precisions
from drivenet.errors import DrivenetError
from drivenet.modelspec import spec_path

BACKENDS = ("onnxruntime", "openvino")


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
        backends: of :data:`BACKENDS`, which are wanted.

    Raises:
        ModelSpecError: for a model whose JSON is missing or not valid.
    """
    return [c for onnx in models for c in _of_model(onnx, native_precisions()) if c.backend in backends]


def _of_model(onnx: Path, native: tuple[str, ...]) -> Iterator[Candidate]:
    precision = read_spec_json(spec_path(onnx)).precision
    yield Candidate(onnx, "onnxruntime", precision)
    floats = [name for name in ("fp32", "bf16", "fp16") if name in native]
    if precision != "int8":
        yield from (Candidate(onnx, "openvino", name) for name in floats)
    elif "int8" in native:
        yield from (Candidate(onnx, "openvino", "int8", name) for name in floats if name != "fp16")


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
    if row.backend == "onnxruntime":
        return open_engine(row.onnx, row.backend, threads=threads)
    out = folder / (row.floats or "rest")  # artefacts of one precision have one name
    built = build(BuildRequest(row.onnx, row.backend, row.precision, out=out, floats=row.floats))
    engine = open_engine(built.file, threads=threads)
    engine.file = engine.spec.name  # the files are gone when the row is read
    return engine
