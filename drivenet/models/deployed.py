"""A network as it is deployed: uint8 BGR picture in, uint8 class ids out, nothing left to the host."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from drivenet.modelspec import Tail

#: RGB mean and standard deviation of values divided by 255 that all networks of this project train with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

#: By how much a tail enlarges the logits (at 1/8 of the input) before the argmax.
TAILS: dict[Tail, int] = {"full": 8, "half": 4, "eighth": 1}


def normalise(images: torch.Tensor, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> torch.Tensor:
    """(N, 3, H, W) uint8 BGR to normalised float RGB."""
    shape = (1, 3, 1, 1)
    rgb = images.flip(1).float()
    m = torch.tensor(mean, device=images.device).view(shape) * 255
    s = torch.tensor(std, device=images.device).view(shape) * 255
    return (rgb - m) / s


class Deployed(nn.Module):
    """The deployed graph around a trained network.

    Args:
        network: gives logits at 1/8 in eval mode.
        tail: where the argmax happens: ``full`` size, ``half``, or ``eighth`` (the logits' own).
        mean, std: RGB, of values divided by 255.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self, network: nn.Module, tail: Tail, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD
    ) -> None:
        super().__init__()
        self.network, self.tail = network, tail
        bgr_mean = torch.tensor(mean[::-1]).view(1, 3, 1, 1)
        bgr_std = torch.tensor(std[::-1]).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * bgr_std))
        self.register_buffer("offset", -bgr_mean / bgr_std)

    def logits(self, frame: torch.Tensor) -> torch.Tensor:
        """(1, H, W, 3) uint8 BGR to logits at the tail's size."""
        x = frame.permute(0, 3, 1, 2).float() * self.scale + self.offset
        out: torch.Tensor = self.network(x.flip(1))
        factor = TAILS[self.tail]
        if factor > 1:
            out = F.interpolate(out, scale_factor=float(factor), mode="bilinear", align_corners=False)
        return out

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """(1, H, W, 3) uint8 BGR to (1, H', W') uint8 class ids."""
        return self.logits(frame).argmax(1).to(torch.uint8)
