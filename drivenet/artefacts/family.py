"""The ONNX files of one network: the exact one, and those of lower precision that were made from it."""

from __future__ import annotations

from pathlib import Path

from drivenet.artefacts.spec_json import read_spec_json
from drivenet.errors import ModelSpecError
from drivenet.modelspec import ModelSpec

_SAME = ("source_sha256", "labels", "input", "output", "letterbox")


def same_network(one: ModelSpec, other: ModelSpec) -> bool:
    """Whether two specs are of one checkpoint and take and give the same."""
    alike = all(getattr(one, name) == getattr(other, name) for name in _SAME)
    return bool(one.source_sha256) and alike and one.outputs() == other.outputs()


def beside(onnx: Path, spec: ModelSpec, precision: str) -> Path | None:
    """The ONNX of the same network in another precision beside one, the first by name; None if there is none."""
    for json_file in sorted(onnx.parent.glob("*.json")):
        file = json_file.with_suffix(".onnx")
        if file.is_file() and _is(json_file, spec, precision):
            return file
    return None


def _is(json_file: Path, spec: ModelSpec, precision: str) -> bool:
    try:
        other = read_spec_json(json_file)
    except ModelSpecError:  # some other JSON
        return False
    return other.precision == precision and same_network(other, spec)
