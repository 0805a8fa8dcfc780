"""``drivenet bench`` of a listed video set, in the folder that holds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cli_parts import call

BENCH = ("bench", "city.onnx", "--backend", "onnxruntime", "--threads", 1, "--dataset", "listed", "--root", "set.yaml")


def figures(*options: object) -> dict[str, Any]:
    """What it writes with ``--json``."""
    assert call(*BENCH, *options, "--json", "found.json") == 0
    found: dict[str, Any] = json.loads(Path("found.json").read_text(encoding="utf-8"))
    return found
