"""The precision that training computes in."""

from __future__ import annotations

import torch

from drivenet.host.cpu_features import native_precisions


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU and on processors that compute it natively, else float32, which is quicker there."""
    native = device.type == "cuda" or "bf16" in native_precisions()
    return torch.autocast(device.type, torch.bfloat16, enabled=native)
