"""The models on the search path: their names, which one is the default, and what each is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drivenet.artefacts.built import list_built
from drivenet.artefacts.passport import passport_path
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.artefacts.store import search_path
from drivenet.backends import BACKENDS
from drivenet.errors import EngineError, nearest, refused
from drivenet.host.cpu_features import native_precisions
from drivenet.modelspec import spec_path

#: Names the default: ``{"default": "NAME", "where": [{"has": [...], "default": "NAME"}, ...]}``; of ``where`` the first
#: counts whose facts this machine all :func:`has`.
CATALOG = "catalog.json"


def engine_file(engine: str | Path | None, backend: str) -> Path | None:
    """The file that a request means.

    Args:
        engine: a file; or the name of a model on the search path, which goes before a file of that name; None = the
            default.
        backend: ``null`` without an engine needs no file: None.

    Raises:
        EngineError: if there is no such model or file, or no default.
    """
    if isinstance(engine, Path):
        return engine
    return None if engine is None and backend == "null" else find(engine)


def files_read(engine: str | Path | None, backend: str = "auto") -> list[Path]:
    """The file that a request means, and what is beside it; none where that cannot be told."""
    try:
        file = engine_file(engine, backend)
    except EngineError:
        return []
    return [] if file is None else [file, spec_path(file), passport_path(file), file.with_suffix(".bin")]


def find(name_or_file: str | None, *folders: Path) -> Path:
    """The ONNX that a request means.

    Args:
        name_or_file: the name of a model (its file without the suffix), or any file; a name goes first. None = the
            default model.
        folders: where the models are; without any :func:`~drivenet.artefacts.store.search_path`.

    Raises:
        EngineError: if there is no such model or file, or no default.
    """
    folders = folders or search_path()
    models = models_in(*folders)
    if name_or_file is None:
        return models[_require_default(folders, models)]
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


def list_models(*folders: Path) -> list[dict[str, Any]]:
    """What ``drivenet models`` reports of every model, the default first, then by name; folders as for :func:`find`.

    Raises:
        ModelSpecError: for a model whose JSON is not valid.
        EngineError: for a catalogue that is not valid.
    """
    folders = folders or search_path()
    default = default_of(*folders)
    rows = [_row(name, file, name == default) for name, file in models_in(*folders).items()]
    return sorted(rows, key=lambda row: (not row["default"], row["name"]))


def default_of(*folders: Path) -> str | None:
    """The default model's name: what the first :data:`CATALOG` says, else the only model, else None.

    Raises:
        EngineError: if the catalogue is damaged or names a model that is not there.
    """
    folders = folders or search_path()
    models = models_in(*folders)
    catalog = next((folder / CATALOG for folder in folders if (folder / CATALOG).exists()), None)
    if catalog is None:
        return next(iter(models)) if len(models) == 1 else None
    try:
        content = _Catalog.model_validate_json(catalog.read_bytes())
    except ValidationError as error:
        raise EngineError(f"{catalog} holds something else", '{"default": "NAME"}') from error
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError(f"{catalog} cannot be read: {error}", '{"default": "NAME"}') from error
    for name in content.names:
        if name not in models:
            raise EngineError(f"{catalog} names {name!r}", "a model beside it", _hint(name, models))
    return next((rule.default for rule in content.where if all(map(has, rule.has))), content.default)


class _Rule(BaseModel):
    """A default for machines that have all of something."""

    model_config = ConfigDict(extra="forbid", strict=True)

    has: list[str] = Field(min_length=1)
    default: str


class _Catalog(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    default: str
    where: list[_Rule] = []

    @property
    def names(self) -> list[str]:
        return [self.default, *(rule.default for rule in self.where)]


def has(fact: str) -> bool:
    """Whether this machine has a precision in its processor, or what a backend needs."""
    if fact in BACKENDS:
        return not BACKENDS[fact].against()
    return fact in native_precisions()


def _require_default(folders: tuple[Path, ...], models: dict[str, Path]) -> str:
    name = default_of(*folders)
    if name is None:
        what = f"{len(models)} models and no {CATALOG}" if models else "no models"
        raise EngineError(f"{', '.join(map(str, folders))} holds {what}", "a default model", "name one with --engine")
    return name


def _hint(name: str, models: dict[str, Path]) -> str:
    return nearest(name, models) if models else "there are no models"


def models_in(*folders: Path) -> dict[str, Path]:
    """Every ONNX with a JSON beside it, by name, in order; of two with one name the one in the earlier folder."""
    found: dict[str, Path] = {}
    for folder in folders or search_path():
        for file in (json_file.with_suffix(".onnx") for json_file in sorted(folder.glob("*.json"))):
            if file.is_file():
                found.setdefault(file.stem, file)
    return dict(sorted(found.items()))


def _row(name: str, file: Path, default: bool) -> dict[str, Any]:
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
        "built": list_built(file),
    }
