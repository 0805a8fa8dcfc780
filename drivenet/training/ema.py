"""The average of a network over its training."""

from __future__ import annotations

import torch
from torch import nn


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
