"""Networks that a run starts from or imitates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from drivenet.errors import UsageError
from drivenet.labels import LabelSet
from drivenet.models import checkpoint as checkpoints
from drivenet.models import create
from drivenet.models.blocks import STRIDE
from drivenet.models.deployed import OURS, Normalisation
from drivenet.training.settings import DistilSettings, TrainSettings


def start_imagenet(network: nn.Module) -> None:
    """Start the encoder from ImageNet; UsageError if the network knows no such weights, or they are not installed."""
    load = getattr(network, "load_imagenet", None)
    if load is None:
        raise UsageError("start: imagenet for a network without ImageNet weights", "efficientnet_fpn, or a checkpoint")
    load()


def imagenet_package(settings: TrainSettings) -> str | None:
    """The distribution whose weights a run starts from; None if it starts otherwise."""
    model = settings.model
    if model.start != "imagenet":
        return None
    with torch.device("meta"):
        network = create(model.architecture, 1, model.options)
    return getattr(getattr(network, "encoder", None), "package", None)


def start_from(network: nn.Module, checkpoint: Path) -> list[str]:
    """Take over a checkpoint's tensors of equal name and shape; returns the names of those that stay as they were.

    Raises:
        UsageError: if nothing fits.
    """
    theirs, mine = checkpoints.load(checkpoint)["network"], network.state_dict()
    fitting = {n: t for n, t in theirs.items() if n in mine and t.shape == mine[n].shape}
    if not fitting:
        raise UsageError(f"{checkpoint} shares no weights with this network", "a checkpoint of a similar network")
    network.load_state_dict(fitting, strict=False)
    return sorted(mine.keys() - fitting.keys())


def normalisation_of(settings: TrainSettings, before: Mapping[str, Any] | None) -> Normalisation:
    """What a run normalises pictures with: what it did before, else as the network that it starts from.

    Args:
        settings: of the run.
        before: ``last.pt``, if it has one.
    """
    start = settings.model.start
    if before is None and start not in (None, "imagenet"):
        before = checkpoints.load(Path(start))
    return checkpoints.normalisation_of(before) if before is not None else OURS


def freeze(network: nn.Module, parts: int) -> list[nn.Module]:
    """Keep the first parts of the encoder (its stem, then its stages) as they are; returns them.

    Raises:
        UsageError: if the network has no such encoder, or fewer parts.
    """
    if not parts:
        return []
    encoder = getattr(network, "encoder", None)
    all_parts = [] if encoder is None else [encoder.stem, *encoder.stages]
    if parts > len(all_parts):
        raise UsageError(f"freeze: {parts}", f"at most {len(all_parts)} for this network")
    for part in all_parts[:parts]:
        part.requires_grad_(False)
    return all_parts[:parts]


class Renormalised(nn.Module):
    """A network behind pictures that are normalised as another one takes them.

    Args:
        network: takes pictures that are normalised its own way.
        own: that it was trained with.
        given: that of the pictures.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(self, network: nn.Module, own: Normalisation, given: Normalisation) -> None:
        super().__init__()
        (mean, std), (given_mean, given_std) = own, given
        self.network = network
        self.register_buffer("scale", _planes(given_std) / _planes(std))
        self.register_buffer("offset", (_planes(given_mean) - _planes(mean)) / _planes(std))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of (N, 3, H, W) float RGB."""
        out: torch.Tensor = self.network(x * self.scale + self.offset)
        return out


class Enlarged(nn.Module):
    """A network that sees its input at another size, and answers at the size of the input it was given.

    Args:
        network: of (N, 3, H, W) to logits (N, C, H / stride, W / stride); H and W multiples of 32.
        stride: of the network.
        scale: of height and width; each becomes the nearest multiple of 32.
    """

    def __init__(self, network: nn.Module, stride: int, scale: float) -> None:
        super().__init__()
        self.network, self.stride, self.scale = network, stride, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H / stride, W / stride) of (N, 3, H, W) floats."""
        size = [max(1, round(side * self.scale / STRIDE)) * STRIDE for side in x.shape[2:]]
        logits = self.network(_resized(x, size))
        return _resized(logits, [side // self.stride for side in x.shape[2:]])


def _resized(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Bilinear, corners not aligned; (h, w) afterwards."""
    return nn.functional.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


def _planes(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def teacher_of(
    distil: DistilSettings | None, labels: LabelSet, student: nn.Module, device: torch.device,
    normalisation: Normalisation = OURS,
) -> nn.Module | None:  # fmt: skip
    """The network to imitate, frozen; None if there is none. It takes what the student does, however it was trained.

    Raises:
        UsageError: if it has other labels than the student, or logits of another size.
    """
    if distil is None:
        return None
    state = checkpoints.load(Path(distil.teacher))
    checkpoints.check_classes(state, labels, f"teacher {distil.teacher}")
    network = checkpoints.network_of(state, f"teacher {distil.teacher}")
    if network.stride != student.stride:
        raise UsageError(f"teacher {distil.teacher} with logits at 1/{network.stride}", f"1/{student.stride}")
    own = checkpoints.normalisation_of(state)
    if own != normalisation:
        network = Renormalised(network, own, normalisation)
    if distil.scale != 1:
        network = Enlarged(network, student.stride, distil.scale)  # type: ignore[arg-type]
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)
