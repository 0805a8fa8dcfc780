"""Plans of the double of TensorRT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx_models import SIZE, paint, palette_model
from tensorrt_double import GPU, TensorRt

from drivenet.artefacts.passport import Parity, Passport, passport_path
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.engine.tensorrt import engine as tensorrt
from drivenet.engine.tensorrt import lane as tensorrt_lane
from drivenet.files import sha256_of
from drivenet.host.nvidia import Gpu
from drivenet.labels import CAMVID
from drivenet.modelspec import spec_path

PARITY = Parity(
    reference="palette.onnx", pictures="none", images=1, agreement=1, worst_class="Sky", worst_iou=1,
    min_agreement=0.995, min_iou=0.8,
)  # fmt: skip


def install(monkeypatch: pytest.MonkeyPatch, double: TensorRt, gpu: Gpu) -> None:
    monkeypatch.setattr(tensorrt, "require_gpu", lambda: gpu)
    monkeypatch.setattr(tensorrt, "import_tensorrt", lambda: double)
    monkeypatch.setattr(tensorrt, "open_driver", lambda: double.driver)
    monkeypatch.setattr(tensorrt_lane, "capture", double.driver.capture)


def issue(
    folder: Path, trt: TensorRt, model: Callable[[Path], Path] = palette_model, content: bytes | None = None,
    gpu: Gpu = GPU, **options: str,
) -> Path:  # fmt: skip
    """A plan of the double, with a valid passport."""
    onnx = model(folder)
    plan = folder / "palette-fp16.plan"
    plan.write_bytes(b"ptrt" + onnx.read_bytes() if content is None else content)
    passport = Passport(
        backend="tensorrt", precision="fp16", files={plan.name: sha256_of(plan)}, onnx=onnx.name,
        onnx_sha256=sha256_of(onnx), spec=read_spec_json(spec_path(onnx)), machine=tensorrt.machine(trt, gpu),
        options=options, parity=PARITY,
    )  # fmt: skip
    passport_path(plan).write_text(passport.sealed().to_json(), encoding="utf-8")
    return plan


def picture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(seed).integers(0, len(CAMVID), (SIZE[0] // 2, SIZE[1] // 2), np.uint8)
    return paint(ids.repeat(2, 0).repeat(2, 1)), ids
