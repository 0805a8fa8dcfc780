"""What the tests of builds share: a model, and OpenVINO."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx_models import palette_model


@pytest.fixture
def openvino() -> None:
    pytest.importorskip("openvino")


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    return palette_model(tmp_path)
