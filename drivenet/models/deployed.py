"""A network as it is deployed: uint8 BGR picture in, uint8 class ids out, nothing left to the host."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from drivenet.modelspec import TAILS, Tail

#: RGB mean and standard deviation of values divided by 255.
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
#: That of all networks of this project which did not start from one with another.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
OURS: Normalisation = (MEAN, STD)


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
        network: gives logits at 1/``network.stride`` of its input in eval mode.
        tail: where the argmax happens: ``full`` size, ``half``, or ``eighth``.
        mean, std: RGB, of values divided by 255.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self, network: nn.Module, tail: Tail, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD
    ) -> None:
        super().__init__()
        self.network, self.tail = network, tail
        self.factor = float(network.stride) / TAILS[tail]  # type: ignore[arg-type]
        bgr_mean = torch.tensor(mean[::-1]).view(1, 3, 1, 1)
        bgr_std = torch.tensor(std[::-1]).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * bgr_std))
        self.register_buffer("offset", -bgr_mean / bgr_std)

    def logits(self, frame: torch.Tensor) -> torch.Tensor:
        """(1, H, W, 3) uint8 BGR to logits at the tail's size."""
        x = frame.float().permute(0, 3, 1, 2) * self.scale + self.offset
        out: torch.Tensor = self.network(x.flip(1))
        if self.factor != 1:
            out = F.interpolate(out, scale_factor=self.factor, mode="bilinear", align_corners=False)
        return out

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """(1, H, W, 3) uint8 BGR to (1, H', W') uint8 class ids.

        The first step is a cast to float and the last one a cast from float: TensorRT 8 reads uint8 at no other
        place, and converts it from and to nothing else.
        """
        return self.logits(frame).argmax(1).float().to(torch.uint8)
