"""The optimiser and its schedule."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from drivenet.training.settings import OptimiserSettings


def learning_rate(options: OptimiserSettings, iteration: int, done: float) -> float:
    """Linear warm-up, then (1 - share of the budget that is done) ** power."""
    warm = min(1.0, (iteration + 1) / max(1, options.warmup))
    return float(options.lr * warm * (1 - min(done, 0.999)) ** options.power)


def optimiser_of(network: nn.Module, options: OptimiserSettings, device: torch.device) -> torch.optim.Optimizer:
    """Weight decay on convolutions only, not on norms and biases; each group's ``factor`` goes with its rate."""
    groups = [
        {
            "params": [p for n, p in network.named_parameters() if (p.ndim > 1, _encodes(n)) == (decays, encodes)],
            "weight_decay": options.weight_decay if decays else 0.0,
            "factor": options.encoder_lr if encodes else 1.0,
        }
        for encodes in (False, True)
        for decays in (True, False)
    ]
    groups = [group for group in groups if group["params"]]
    fused = device.type == "cuda"
    if options.name == "sgd":
        return torch.optim.SGD(groups, options.lr, momentum=options.momentum, fused=fused)
    return torch.optim.AdamW(groups, options.lr, fused=fused)


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take an earlier state, moments and all, but keep the options: PyTorch takes back those of before."""
    options = [{name: value for name, value in group.items() if name != "params"} for group in optimiser.param_groups]
    optimiser.load_state_dict(state)
    for group, mine in zip(optimiser.param_groups, options, strict=True):
        group.update(mine)


def _encodes(parameter: str) -> bool:
    return parameter.startswith("encoder.")
