"""What ``drivenet eval --record`` does: the score on val goes into the ONNX, and the JSON beside it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from drivenet.cli.output import console
from drivenet.data.base import Dataset
from drivenet.engine.base import Engine
from drivenet.errors import UsageError


def check_record(engine: Engine, samples: Dataset) -> None:
    """UsageError unless the score of this engine on these pictures is one that its record has a place for."""
    file = Path(engine.file)
    if file.suffix != ".onnx":
        raise UsageError(
            f"--record with {file.name or engine.backend}", "an ONNX; artefacts take over what theirs says"
        )
    if samples.split != "val":
        raise UsageError(f"--record with the split {samples.split}", "val, which models are selected on")
    if samples.labels != engine.spec.label_set or samples.name not in engine.spec.trained_on:
        raise UsageError(
            f"--record with {samples.name}", f"what it was trained on: {engine.spec.trained_on or 'unknown'}"
        )
    _stored()


def write_record(file: Path, miou: float) -> None:
    """Note a score, to four digits; SinkError if it cannot be written."""
    stored = _stored()
    model, spec = stored.load(file)
    stored.store(model, spec.model_copy(update={"val_miou": round(miou, 4)}), file, full_check=False)
    console.print(f"noted val mIoU {miou:.4f} in {file}")


def _stored() -> ModuleType:
    try:
        from drivenet.export import stored
    except ModuleNotFoundError as error:
        raise UsageError(f"--record needs {error.name}", cure="pip install 'drivenet[train]'") from error
    return stored
