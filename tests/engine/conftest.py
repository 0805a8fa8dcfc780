"""What tests of several kinds of output share: the backends that give them all."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request: pytest.FixtureRequest) -> str:
    """A backend that gives confidence and things; OpenVINO is skipped where it is not installed."""
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    return str(request.param)
