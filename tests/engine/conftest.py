"""What tests of several kinds of output share: the backends that give them all."""

from __future__ import annotations

import pytest
from driver_double import RecordingDriver
from tensorrt_double import GPU, TensorRt
from tensorrt_plans import install


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request: pytest.FixtureRequest) -> str:
    """A backend that gives confidence and things; OpenVINO is skipped where it is not installed."""
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    return str(request.param)


@pytest.fixture(params=["8.5", "10", "11"])
def trt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TensorRt:
    """TensorRT and a GPU, as far as the runner can tell."""
    driver = RecordingDriver()
    double = TensorRt(request.param, driver)
    install(monkeypatch, double, GPU)
    return double
