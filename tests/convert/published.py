"""State dicts in the layout of publishers, with weights from a rule."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "checkpoints"


def weight(key: str, shape: list[int]) -> torch.Tensor:
    """The weight of a key, by the published rule."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    z = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_var"):
        z = 1 + 0.1 * np.abs(z)
    elif key.endswith(("running_mean", ".bias")):
        z = 0.05 * z
    elif len(shape) == 1:
        z = 1 + 0.05 * z
    else:
        z = z * np.sqrt(2 / np.prod(shape[1:]))
    return torch.from_numpy(z.astype(np.float32))


def published(publisher: str) -> dict[str, torch.Tensor]:
    """A whole state dict in the publisher's layout."""
    keys = json.loads((FIXTURES / f"{publisher}.keys.json").read_text())
    return {key: weight(key, shape) for key, shape in keys.items()}
