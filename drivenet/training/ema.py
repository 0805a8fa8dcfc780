"""The average of a network over its training."""

from __future__ import annotations

from itertools import compress

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
        mine, theirs = (list(m.state_dict().values()) for m in (self.average, network))
        moves = [m.is_floating_point() for m in mine]
        # All tensors in one call: a GPU would otherwise start a kernel for each.
        torch._foreach_lerp_(list(compress(mine, moves)), list(compress(theirs, moves)), 1 - decay)
        counts = [not m for m in moves]
        if any(counts):
            torch._foreach_copy_(list(compress(mine, counts)), list(compress(theirs, counts)))
