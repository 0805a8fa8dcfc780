"""Building blocks that several networks share."""

from __future__ import annotations

import torch
from torch import nn

from drivenet.errors import UsageError

#: Every network here halves its input at most five times.
STRIDE = 32


def check_size(height: int, width: int) -> None:
    """UsageError naming the nearest good size unless both are positive multiples of 32."""
    if height < STRIDE or width < STRIDE or height % STRIDE or width % STRIDE:
        good = "x".join(str(max(STRIDE, round(v / STRIDE) * STRIDE)) for v in (width, height))
        raise UsageError(f"input size {width}x{height}", f"multiples of {STRIDE}", f"use {good}")


def check_input(x: torch.Tensor) -> None:
    """As :func:`check_size`, for (N, 3, H, W); not while a graph is traced, where sizes are no numbers."""
    if not torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        check_size(int(x.shape[2]), int(x.shape[3]))


class ConvBNReLU(nn.Sequential):
    """Convolution without bias, batch norm and (unless ``relu`` is False) ReLU; padded to keep the size."""

    def __init__(
        self, cin: int, cout: int, kernel: int = 3, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(cout),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def initialise(network: nn.Module) -> None:
    """He initialisation (He et al. 2015) of convolutions, unit batch norms."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def upsample(x: torch.Tensor, scale: int) -> torch.Tensor:
    """Bilinear, corners not aligned."""
    return nn.functional.interpolate(x, scale_factor=float(scale), mode="bilinear", align_corners=False)


def repeat(x: torch.Tensor, scale: int) -> torch.Tensor:
    """Every pixel becomes ``scale`` x ``scale`` pixels."""
    return nn.functional.interpolate(x, scale_factor=float(scale), mode="nearest")


def scaled(channels: int, width: float) -> int:
    """Channels times ``width``, a multiple of 8, at least 8."""
    return max(8, round(channels * width / 8) * 8)


class Head(nn.Sequential):
    """3x3 convolution to ``width`` channels, then the classes."""

    def __init__(self, cin: int, width: int, classes: int) -> None:
        super().__init__(ConvBNReLU(cin, width), nn.Dropout(0.1), nn.Conv2d(width, classes, 1))
