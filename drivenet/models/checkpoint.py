"""Checkpoints: written whole or not at all, read without running code from them."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from drivenet.errors import UsageError
from drivenet.modelspec import sha256_of, write_atomic


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def read(path: Path, expected: str) -> Any:
    """What a file of PyTorch holds, without running code from it; UsageError with ``expected`` if it is none."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError) as error:
        told = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"cannot read checkpoint {path}: {told}", expected) from error


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ours without running code from it; UsageError if it is none."""
    expected = "a .pt file that drivenet train wrote"
    state = read(path, expected)
    if not isinstance(state, dict) or "network" not in state or "settings" not in state:
        raise UsageError(f"{path} is no drivenet checkpoint", expected)
    return state


def lineage(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The checkpoints that a run of these settings builds on: ``start`` and ``teacher``, as far as it has them.

    Each with its ``name``, by folder and stem (no path of this machine), and the first 12 digits of its ``sha256``,
    if it is there.
    """
    files = {"start": settings["model"].get("start"), "teacher": (settings.get("distil") or {}).get("teacher")}
    return {role: _known(Path(file)) for role, file in files.items() if file is not None}


def _known(file: Path) -> dict[str, str]:
    name = {"name": "/".join(filter(None, (file.parent.name, file.stem)))}
    return {**name, "sha256": sha256_of(file)[:12]} if file.is_file() else name
