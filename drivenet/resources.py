"""Where the artefacts and configurations that ship with the program lie."""

from __future__ import annotations

from pathlib import Path

from drivenet.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def engines_dir() -> Path:
    """The folder of the shipped ONNX models and their JSON. ConfigError if the installation lacks it."""
    return _shipped("engines")


def is_packaged(folder: Path) -> bool:
    """Whether a folder is part of an installed package, which nothing is written to."""
    return _PACKAGE in folder.resolve().parents


def configs_dir() -> Path:
    """The folder of the shipped YAML files: ``node/``, ``train/``, ``labels/``. ConfigError if it is missing."""
    return _shipped("configs")


def _shipped(name: str) -> Path:
    """``drivenet/_<name>`` in an installed wheel, ``<name>/`` beside the package in a checkout."""
    packaged, checkout = _PACKAGE / f"_{name}", _PACKAGE.parent / name
    for folder in (packaged, checkout):
        if folder.is_dir():
            return folder
    raise ConfigError(f"no {name} in {packaged}", f"the {name} that ship with drivenet", "install drivenet again")
