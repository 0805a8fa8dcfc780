"""All that a run needs to go on exactly: network, average, optimiser, progress. Written whole or not at all."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from drivenet.errors import UsageError
from drivenet.modelspec import write_atomic


class Ema:
    """Exponential moving average of a network's parameters and buffers (Polyak and Juditsky 1992).

    The average follows fast at first: the decay of step n is at most (1 + n) / (10 + n).
    """

    def __init__(self, network: nn.Module, average: nn.Module, decay: float) -> None:
        self.average, self.decay = average.eval().requires_grad_(False), decay
        self.average.load_state_dict(network.state_dict())

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards the network."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mine, new in zip(self.average.state_dict().values(), network.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(new, 1 - decay)
            else:
                mine.copy_(new)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running code from it; UsageError if it is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"cannot read checkpoint {path}: {reason}", "a .pt file that drivenet train wrote") from error
    if not isinstance(state, dict) or "network" not in state or "settings" not in state:
        raise UsageError(f"{path} is no drivenet checkpoint", "a .pt file that drivenet train wrote")
    return state
