"""What ``drivenet eval --record`` does: the score on val goes into the ONNX, and the JSON beside it."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from drivenet.artefacts.compiled import artefacts_of
from drivenet.artefacts.passport import read_passport
from drivenet.cli.output import console
from drivenet.data.base import Dataset
from drivenet.engine.base import Engine
from drivenet.errors import EngineError, UsageError
from drivenet.files import sha256_of


def check_record(engine: Engine, samples: Dataset) -> None:
    """UsageError unless the score of this engine on these pictures is one that its record has a place for."""
    file = Path(engine.file)
    if file.suffix != ".onnx":
        raise UsageError(
            f"--record with {file.name or engine.backend}", "an ONNX; artefacts take over what theirs says"
        )
    if engine.backend == "null":
        raise UsageError("--record with the backend null", "one that runs the network")
    if samples.split != "val":
        raise UsageError(f"--record with the split {samples.split}", "val, which models are selected on")
    first = engine.spec.trained_on.partition(" ")[0]  # what else it learned from stands behind it
    names = (samples.name, samples.labels.name) if samples.name == "folder" else (samples.name,)
    if samples.labels != engine.spec.label_set or first not in names:
        raise UsageError(
            f"--record with {samples.name}",
            f"the data set that its record names first: {first or 'unknown'}",
            "name it with --dataset and --root",
        )
    _stored()


def write_record(file: Path, miou: float) -> None:
    """Note a score, to four digits, and tell which artefacts must be built again.

    Raises:
        UsageError: if there is no score.
        SinkError: if it cannot be written.
    """
    if math.isnan(miou):
        raise UsageError("--record with pictures of which no pixel has a class", "a score to note")
    stored = _stored()
    model, spec = stored.load(file)
    stored.store(model, spec.model_copy(update={"val_miou": round(miou, 4)}), file, full_check=False)
    console.print(f"noted val mIoU {miou:.4f} in {file}")
    written = sha256_of(file)
    for artefact, *_ in artefacts_of(file):
        with suppress(EngineError):  # one without a passport was refused before
            passport = read_passport(artefact)
            if passport.onnx_sha256 != written:  # the score may be the one that was noted before
                console.print(f"{artefact} must be built again: {passport.rebuild(artefact.parent)}")


def _stored() -> ModuleType:
    try:
        from drivenet.export import stored
    except ModuleNotFoundError as error:
        raise UsageError(f"--record needs {error.name}", cure="pip install 'drivenet[train]'") from error
    return stored
