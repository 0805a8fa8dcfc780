"""DeepLabV3+ on MobileNetV3-Large (Chen et al. 2018); without its decoder DeepLabV3 (2017) as torchvision builds it."""

from __future__ import annotations

import torch
from torch import nn

from drivenet.models.blocks import ConvBNReLU, Head, check_input, upsample
from drivenet.models.torchvision_cpu import mobilenet_v3_large


class DilatedConv(nn.Sequential):
    """3x3 convolution with holes, batch norm and ReLU."""

    def __init__(self, cin: int, cout: int, rate: int) -> None:
        conv = nn.Conv2d(cin, cout, 3, padding=rate, dilation=rate, bias=False)
        super().__init__(conv, nn.BatchNorm2d(cout), nn.ReLU(inplace=True))


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: one point, three rates and the whole picture side by side."""

    def __init__(self, cin: int, cout: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ConvBNReLU(cin, cout, 1), *(DilatedConv(cin, cout, r) for r in rates)])
        self.whole = ConvBNReLU(cin, cout, 1)
        self.project = nn.Sequential(ConvBNReLU((len(rates) + 2) * cout, cout, 1), nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [branch(x) for branch in self.branches]
        whole = self.whole(x.mean((2, 3), keepdim=True)).expand_as(found[0])
        projected: torch.Tensor = self.project(torch.cat([*found, whole], 1))
        return projected


class DeepLabV3Plus(nn.Module):
    """Logits at 1/4 of the input (1/16 without the decoder); in training those of an auxiliary head at 1/8 follow.

    Args:
        classes: channels of the logits.
        width: channels of the pyramid and of what follows.
        rates: dilations of the pyramid; features are at 1/16.
        decoder: refine at 1/4; without it the network is DeepLabV3.

    Forward takes (N, 3, H, W) normalised floats, H and W multiples of 32 (UsageError otherwise).
    """

    def __init__(
        self, classes: int, width: int = 256, rates: tuple[int, ...] = (12, 24, 36), decoder: bool = True
    ) -> None:
        super().__init__()
        self.stride = 4 if decoder else 16
        self.backbone = mobilenet_v3_large()
        self.pyramid = AtrousPyramid(960, width, tuple(rates))
        self.low = ConvBNReLU(24, 48, 1) if decoder else None
        self.refine = ConvBNReLU(width + 48 if decoder else width, width)
        self.classify = nn.Conv2d(width, classes, 1)
        self.auxiliary = nn.ModuleList([Head(40, 64, classes)])

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        check_input(x)
        at4 = self.backbone[:4](x)
        at8 = self.backbone[4:7](at4)
        features = self.pyramid(self.backbone[7:](at8))
        if self.low is not None:
            features = torch.cat([upsample(features, 4), self.low(at4)], 1)
        logits: torch.Tensor = self.classify(self.refine(features))
        return [logits, self.auxiliary[0](at8)] if self.training else logits
