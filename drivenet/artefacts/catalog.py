"""The models that lie in a folder: their names, which one is the default, and what each is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from drivenet.artefacts.built import Here, list_built
from drivenet.artefacts.passport import passport_path
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.errors import EngineError, nearest, refused
from drivenet.modelspec import spec_path
from drivenet.resources import engines_dir

#: Names the default in the folder: ``{"default": "NAME"}``.
CATALOG = "catalog.json"


def engine_file(engine: str | Path | None, backend: str) -> Path | None:
    """The file that a request means.

    Args:
        engine: a file; or the name of a model that ships, which goes before a file of that name; None = the default.
        backend: ``null`` without an engine needs no file: None.

    Raises:
        EngineError: if there is no such model or file, or no default.
    """
    if isinstance(engine, Path):
        return engine
    return None if engine is None and backend == "null" else find(engine, engines_dir())


def files_read(engine: str | Path | None, backend: str = "auto") -> list[Path]:
    """The file that a request means, and what lies beside it; none where that cannot be told."""
    try:
        file = engine_file(engine, backend)
    except EngineError:
        return []
    return [] if file is None else [file, spec_path(file), passport_path(file), file.with_suffix(".bin")]


def find(name_or_file: str | None, folder: Path) -> Path:
    """The ONNX that a request means.

    Args:
        name_or_file: the name of a model in ``folder`` (its file without the suffix), or any file;
            a name goes first. None = the default model.
        folder: where the models lie.

    Raises:
        EngineError: if there is no such model or file, or no default.
    """
    models = _models(folder)
    if name_or_file is None:
        return models[_require_default(folder, models)]
    if name_or_file in models:
        return models[name_or_file]
    try:
        os.stat(name_or_file)
        return Path(name_or_file)
    except PermissionError as error:
        raise refused(EngineError, name_or_file, error) from error
    except (OSError, ValueError):  # also for a name that no file can have
        pass
    expected = "a file, or a name that drivenet models lists"
    raise EngineError(f"no engine {name_or_file!r}", expected, _hint(name_or_file, models))


def list_models(folder: Path, here: Here) -> list[dict[str, Any]]:
    """What ``drivenet models`` tells of every model in a folder, the default first, then by name.

    Args:
        folder: where the models are.
        here: :func:`drivenet.engine.machine`.

    Raises:
        ModelSpecError: for a model whose JSON is not valid.
        EngineError: for a catalogue that is not valid.
    """
    models = _models(folder)
    default = default_of(folder)
    rows = [_row(name, file, name == default, here) for name, file in models.items()]
    return sorted(rows, key=lambda row: (not row["default"], row["name"]))


def default_of(folder: Path) -> str | None:
    """The default model's name: what :data:`CATALOG` says, else the only model, else None.

    Raises:
        EngineError: if the catalogue is damaged or names a model that is not there.
    """
    models, catalog = _models(folder), folder / CATALOG
    if not catalog.exists():
        return next(iter(models)) if len(models) == 1 else None
    try:
        content = json.loads(catalog.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError(f"{catalog} cannot be read: {error}", '{"default": "NAME"}') from error
    if not isinstance(content, dict) or set(content) != {"default"} or not isinstance(content["default"], str):
        raise EngineError(f"{catalog} holds something else", '{"default": "NAME"}')
    name: str = content["default"]
    if name not in models:
        raise EngineError(f"{catalog} names {name!r}", "a model beside it", _hint(name, models))
    return name


def _require_default(folder: Path, models: dict[str, Path]) -> str:
    name = default_of(folder)
    if name is None:
        what = f"{len(models)} models and no {CATALOG}" if models else "no models"
        raise EngineError(f"{folder} holds {what}", "a default model", "name one with --engine")
    return name


def _hint(name: str, models: dict[str, Path]) -> str:
    return nearest(name, models) if models else "there are no models"


def _models(folder: Path) -> dict[str, Path]:
    """Every ONNX with a JSON beside it, by name, in order."""
    files = (json_file.with_suffix(".onnx") for json_file in sorted(folder.glob("*.json")))
    return {file.stem: file for file in files if file.is_file()}


def _row(name: str, file: Path, default: bool, here: Here) -> dict[str, Any]:
    spec = read_spec_json(file.with_suffix(".json"))
    return {
        "name": name,
        "file": str(file),
        "default": default,
        "architecture": spec.architecture,
        "precision": spec.precision,
        "input": list(spec.input),
        "labels": spec.labels.name,
        "params": spec.params,
        "gmac": spec.gmac,
        "val_miou": spec.val_miou,
        "trained_on": spec.trained_on,
        "data_licence": spec.data_licence,
        "built": list_built(file, here),
    }
