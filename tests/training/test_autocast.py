"""The precision of training follows the device: bfloat16 only where it is native."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from drivenet.host.cpu_features import native_precisions  # noqa: E402
from drivenet.training.autocast import autocast  # noqa: E402


@pytest.mark.parametrize("native", [True, False])
def test_a_processor_without_bf16_computes_float32(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    known = ("fp32", "bf16") if native else ("fp32",)
    monkeypatch.setattr("drivenet.training.autocast.native_precisions", lambda: known)
    a = torch.ones(4, 4)
    with autocast(torch.device("cpu")):
        assert (a @ a).dtype == (torch.bfloat16 if native else torch.float32)


def test_it_asks_this_processor() -> None:
    a = torch.ones(4, 4)
    with autocast(torch.device("cpu")):
        assert (a @ a).dtype == (torch.bfloat16 if "bf16" in native_precisions() else torch.float32)
