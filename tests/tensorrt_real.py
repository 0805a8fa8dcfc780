"""NVIDIA's own parser and builder: those of TensorRT for RTX compile without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driver_double import RecordingDriver
from tensorrt_double import GPU

from drivenet.build import tensorrt as builder
from drivenet.build.request import BuildRequest, Product

#: Why a test is skipped without them.
MISSING = "tensorrt-rtx (extra [test], Linux on x86_64) is not installed"


def compiled(trt: Any, onnx: Path, precision: str, argmax: str, folder: Path, **options: Any) -> tuple[Product, bytes]:
    """What drivenet's builder makes of an ONNX with this TensorRT, told that there is a GPU; with the plan itself."""
    target = folder / "built.plan"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "require_gpu", lambda: GPU)
        patch.setattr(builder, "import_tensorrt", lambda: trt)
        patch.setattr(builder, "find_driver", lambda: RecordingDriver)
        request = BuildRequest(onnx, "tensorrt", precision, options={"argmax": argmax, **options})
        return builder.build_tensorrt(request, precision, target), target.read_bytes()
