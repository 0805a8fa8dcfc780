"""Reads a ModelSpec from text or from the JSON beside an artefact, and refuses one that nothing could run."""

from __future__ import annotations

from pathlib import Path

from drivenet.errors import ModelSpecError, UsageError
from drivenet.modelspec import ModelSpec

#: Pixels either way; more is a damaged file, not a camera.
MAX_SIDE = 8192


def parse_spec(text: str, where: str) -> ModelSpec:
    """A checked spec; ModelSpecError naming ``where``, also for a label set that contradicts itself."""
    try:
        spec = ModelSpec.from_json(text, where)
    except UsageError as error:
        raise ModelSpecError(f"{where}: {error.received}", error.expected, "export the model again") from error
    if max(*spec.input, *spec.output) > MAX_SIDE:
        raise ModelSpecError(
            f"{where} states input {spec.input} and output {spec.output}",
            f"at most {MAX_SIDE} pixels either way",
            "export the model again",
        )
    return spec


def read_spec_json(file: Path) -> ModelSpec:
    """The spec in a JSON file; ModelSpecError if it is missing, unreadable or no spec."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ModelSpecError(f"{file} cannot be read: {reason}", "the JSON that drivenet export writes") from error
    return parse_spec(text, str(file))
