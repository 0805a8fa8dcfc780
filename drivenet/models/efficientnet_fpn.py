"""EfficientNet-Lite with a light feature pyramid: the networks of the engines ``fast`` and ``accurate``."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from drivenet.models.blocks import ConvBNReLU, Head, check_input, initialise, upsample
from drivenet.models.efficientnet_lite import EfficientNetLite
from drivenet.models.things_head import Maps, ThingsHead


class Fusion(nn.Sequential):
    """A depth-wise separable 3x3 convolution of the sum of two levels (as in BiFPN: Tan et al., CVPR 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__(ConvBNReLU(width, width, groups=width, relu=False), ConvBNReLU(width, width, 1))


class EfficientNetFPN(nn.Module):
    """Logits at 1/4 of the input; in training those of an auxiliary head at 1/8 follow, and the maps of a head for
    single things, if there are such heads.

    The pyramid is top-down (Lin et al., "Feature Pyramid Networks", CVPR 2017) with depth-wise fusions; its top is
    gated by the picture's mean as in LR-ASPP (Howard et al., ICCV 2019).

    Args:
        classes: channels of the logits.
        variant: of :class:`~drivenet.models.efficientnet_lite.EfficientNetLite`.
        width: channels of the pyramid.
        head: channels at 1/4, which logits and further heads read.
        auxiliary: whether there is an auxiliary head.
        things: channels of a head for single things; 0 for none. It is deployed beside the logits.

    Forward takes (N, 3, H, W) normalised floats, H and W multiples of 32 (UsageError otherwise).
    """

    stride = 4

    def __init__(
        self, classes: int, variant: str = "lite0", width: int = 96, head: int = 64, auxiliary: bool = False,
        things: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        encoder = EfficientNetLite(variant)
        c2, c3, c4, c5 = encoder.channels
        self.laterals = nn.ModuleList(ConvBNReLU(c, width, 1) for c in (c3, c4, c5))
        self.gate = nn.Conv2d(c5, width, 1)
        self.fusions = nn.ModuleList([Fusion(width), Fusion(width)])
        self.reduce = ConvBNReLU(width, head, 1, relu=False)
        self.skip = ConvBNReLU(c2, head, 1, relu=False)
        self.merge = ConvBNReLU(head, head)
        self.classify = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(head, classes, 1))
        self.auxiliary = nn.ModuleList([Head(width, head, classes)] if auxiliary else [])
        initialise(self)
        self.encoder = encoder  # after the others were initialised: it has its own start
        self.things = ThingsHead(head, things) if things else None

    def load_imagenet(self) -> None:
        """Start the encoder from ImageNet; UsageError naming the package if that is not installed."""
        self.encoder.load_imagenet()

    def pyramid(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (N, head, H/4, W/4), which every head reads, and the pyramid's level at 1/8."""
        check_input(x)
        c2, c3, c4, c5 = self.encoder(x)
        p3, p4, p5 = (lateral(c) for lateral, c in zip(self.laterals, (c3, c4, c5), strict=True))
        p5 = p5 * torch.sigmoid(self.gate(c5.mean((2, 3), keepdim=True)))
        p4 = self.fusions[0](p4 + upsample(p5, 2))
        p3 = self.fusions[1](p3 + upsample(p4, 2))
        return self.merge(F.relu(upsample(self.reduce(p3), 2) + self.skip(c2))), p3

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor | Maps]:
        features, p3 = self.pyramid(x)
        logits: torch.Tensor = self.classify(features)
        if not self.training:
            return logits
        maps = [] if self.things is None else [self.things(features)]
        return [logits, *(head(p3) for head in self.auxiliary), *maps]
