"""A float model with random weights, and its int8."""

from __future__ import annotations

from pathlib import Path

import pytest
from int8_parts import PICTURES, SIZE

from drivenet.labels import CAMVID
from drivenet.modelspec import LabelsSpec


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model with random weights."""
    torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
    from drivenet.export.onnx import export_onnx
    from drivenet.models import create

    torch.manual_seed(0)
    network = create("bisenetv2", len(CAMVID), {"width": 0.25, "semantic": 0.5, "head": 16}).eval()
    file = tmp_path_factory.mktemp("float") / "tiny.onnx"
    spec = {"name": "tiny", "architecture": "bisenetv2", "labels": LabelsSpec.of(CAMVID), "val_miou": 0.5}
    export_onnx(network, spec, file, SIZE)
    return file


@pytest.fixture(scope="module")
def quantised(source: Path) -> Path:
    """The int8 of it."""
    from drivenet.export.int8 import quantise

    file = source.with_name("tiny-int8.onnx")
    quantise(source, file, PICTURES)
    return file
