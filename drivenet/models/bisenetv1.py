"""BiSeNetV1 with a ResNet-18 context path (Yu et al., "BiSeNet", ECCV 2018), as CoinCheung/BiSeNet trains it."""

from __future__ import annotations

import torch
from torch import nn

from drivenet.models.blocks import ConvBNReLU, Head, check_input, initialise, repeat, scaled


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input is carried (He et al. 2016)."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBNReLU(cin, cout, 3, stride), ConvBNReLU(cout, cout, relu=False))
        same = cin == cout and stride == 1
        self.skip: nn.Module = nn.Identity() if same else ConvBNReLU(cin, cout, 1, stride, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.skip(x))


class ResNet18(nn.Module):
    """Features at 1/8, 1/16 and 1/32."""

    def __init__(self, c: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvBNReLU(3, c[0], 7, 2), nn.MaxPool2d(3, 2, 1))
        self.layer1 = nn.Sequential(BasicBlock(c[0], c[0], 1), BasicBlock(c[0], c[0], 1))
        self.layer2 = nn.Sequential(BasicBlock(c[0], c[1], 2), BasicBlock(c[1], c[1], 1))
        self.layer3 = nn.Sequential(BasicBlock(c[1], c[2], 2), BasicBlock(c[2], c[2], 1))
        self.layer4 = nn.Sequential(BasicBlock(c[2], c[3], 2), BasicBlock(c[3], c[3], 1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        at16 = self.layer3(self.layer2(self.layer1(self.stem(x))))
        return at16, self.layer4(at16)


class AttentionRefinement(nn.Module):
    """A convolution whose channels are weighed by their own mean (figure 2b of the paper)."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(cin, cout)
        self.attention = ConvBNReLU(cout, cout, 1, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.attention(x.mean((2, 3), keepdim=True)))


class ContextPath(nn.Module):
    """Semantics from 1/32, refined on the way up to 1/8."""

    def __init__(self, width: float, c: int) -> None:
        super().__init__()
        channels = (scaled(64, width), scaled(128, width), scaled(256, width), scaled(512, width))
        self.resnet = ResNet18(channels)
        self.refine16, self.refine32 = AttentionRefinement(channels[2], c), AttentionRefinement(channels[3], c)
        self.up16, self.up32 = ConvBNReLU(c, c), ConvBNReLU(c, c)
        self.whole = ConvBNReLU(channels[3], c, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features at 1/8 and 1/16."""
        at16, at32 = self.resnet(x)
        context = self.refine32(at32) + self.whole(at32.mean((2, 3), keepdim=True))
        context16 = self.up32(repeat(context, 2))
        context8 = self.up16(repeat(self.refine16(at16) + context16, 2))
        return context8, context16


class SpatialPath(nn.Sequential):
    """Three strided convolutions to 1/8, wide enough to keep what is small."""

    def __init__(self, c1: int, cout: int) -> None:
        super().__init__(
            ConvBNReLU(3, c1, 7, 2), ConvBNReLU(c1, c1, 3, 2), ConvBNReLU(c1, c1, 3, 2), ConvBNReLU(c1, cout, 1)
        )


class FeatureFusion(nn.Module):
    """Both paths side by side, weighed by their own mean (figure 2c)."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(cin, cout, 1)
        self.attention = ConvBNReLU(cout, cout, 1, relu=False)

    def forward(self, spatial: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = self.conv(torch.cat([spatial, context], 1))
        return x * torch.sigmoid(self.attention(x.mean((2, 3), keepdim=True))) + x


class BiSeNetV1(nn.Module):
    """Logits at 1/8 of the input; in training those of the context at 1/8 and 1/16 follow.

    Args:
        classes: channels of the logits.
        width: scales all channels.
        head: channels of the head's hidden layer.

    Forward takes (N, 3, H, W) normalised floats, H and W multiples of 32 (UsageError otherwise).
    """

    stride = 8

    def __init__(self, classes: int, width: float = 1.0, head: int = 256) -> None:
        super().__init__()
        c = scaled(128, width)
        self.context = ContextPath(width, c)
        self.spatial = SpatialPath(scaled(64, width), c)
        self.fusion = FeatureFusion(2 * c, 2 * c)
        self.head = Head(2 * c, head, classes)
        self.auxiliary = nn.ModuleList(Head(c, 64, classes) for _ in range(2))
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        check_input(x)
        context8, context16 = self.context(x)
        logits: torch.Tensor = self.head(self.fusion(self.spatial(x), context8))
        if not self.training:
            return logits
        return [logits, self.auxiliary[0](context8), self.auxiliary[1](context16)]
