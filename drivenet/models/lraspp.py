"""LR-ASPP on MobileNetV3-Large (Howard et al., "Searching for MobileNetV3", ICCV 2019), as torchvision builds it."""

from __future__ import annotations

import torch
from torch import nn

from drivenet.models.blocks import ConvBNReLU, Head, check_input, upsample
from drivenet.models.torchvision_cpu import mobilenet_v3_large


class LRASPP(nn.Module):
    """Logits at 1/8 of the input; in training those of an auxiliary head at 1/8 follow.

    Args:
        classes: channels of the logits.
        width: channels of the high-level path.

    Forward takes (N, 3, H, W) normalised floats, H and W multiples of 32 (UsageError otherwise).
    """

    stride = 8

    def __init__(self, classes: int, width: int = 128) -> None:
        super().__init__()
        self.backbone = mobilenet_v3_large()
        self.reduce = ConvBNReLU(960, width, 1)
        self.gate = nn.Conv2d(960, width, 1, bias=False)
        self.low, self.high = nn.Conv2d(40, classes, 1), nn.Conv2d(width, classes, 1)
        self.auxiliary = nn.ModuleList([Head(40, 64, classes)])

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        check_input(x)
        # Block 4 is the first at 1/8; it, not the last there, is what torchvision's weights expect.
        low = self.backbone[:5](x)
        high = self.backbone[5:](low)
        gated = self.reduce(high) * torch.sigmoid(self.gate(high.mean((2, 3), keepdim=True)))
        logits: torch.Tensor = self.low(low) + self.high(upsample(gated, 2))
        return [logits, self.auxiliary[0](low)] if self.training else logits
