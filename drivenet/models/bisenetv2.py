"""BiSeNetV2 (Yu et al., "BiSeNet V2: Bilateral Network with Guided Aggregation", IJCV 2021)."""

from __future__ import annotations

import torch
from torch import nn

from drivenet.errors import UsageError, nearest
from drivenet.models.blocks import ConvBNReLU, Head, check_input, initialise, repeat, scaled, upsample

VARIANTS = ("paper", "coincheung")


class DetailBranch(nn.Sequential):
    """Wide and shallow: three stages to 1/8 (table 1 of the paper)."""

    def __init__(self, c1: int, c3: int) -> None:
        super().__init__(
            ConvBNReLU(3, c1, 3, 2), ConvBNReLU(c1, c1),
            ConvBNReLU(c1, c1, 3, 2), ConvBNReLU(c1, c1), ConvBNReLU(c1, c1),
            ConvBNReLU(c1, c3, 3, 2), ConvBNReLU(c3, c3), ConvBNReLU(c3, c3),
        )  # fmt: skip


class Stem(nn.Module):
    """To 1/4 by a convolution path and a pooling path side by side (figure 4a)."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.first = ConvBNReLU(3, c, 3, 2)
        self.convs = nn.Sequential(ConvBNReLU(c, c // 2, 1), ConvBNReLU(c // 2, c, 3, 2))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.fuse = ConvBNReLU(2 * c, c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        fused: torch.Tensor = self.fuse(torch.cat([self.convs(x), self.pool(x)], 1))
        return fused


class GatherExpand(nn.Module):
    """Gather-and-expansion layer (figure 5): depth-wise expansion by 6, stride 1 or 2."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int = 6) -> None:
        super().__init__()
        wide = cin * expansion
        if stride == 1:
            self.body = nn.Sequential(
                ConvBNReLU(cin, cin),
                ConvBNReLU(cin, wide, groups=cin, relu=True),
                ConvBNReLU(wide, cout, 1, relu=False),
            )
            self.skip: nn.Module = nn.Identity()
        else:
            self.body = nn.Sequential(
                ConvBNReLU(cin, cin),
                ConvBNReLU(cin, wide, 3, 2, groups=cin, relu=False),
                ConvBNReLU(wide, wide, groups=wide, relu=True),
                ConvBNReLU(wide, cout, 1, relu=False),
            )
            self.skip = nn.Sequential(
                ConvBNReLU(cin, cin, 3, 2, groups=cin, relu=False), ConvBNReLU(cin, cout, 1, relu=False)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.skip(x))


class ContextEmbedding(nn.Module):
    """Global average pooling added back to every pixel (figure 4b)."""

    def __init__(self, c: int, relu: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(c)
        self.reduce = ConvBNReLU(c, c, 1)
        self.fuse = ConvBNReLU(c, c, relu=relu)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        context = self.reduce(self.norm(x.mean((2, 3), keepdim=True)))
        fused: torch.Tensor = self.fuse(x + context)
        return fused


class SemanticBranch(nn.Module):
    """Narrow and deep: to 1/32, with the features of each stage for the auxiliary heads."""

    def __init__(self, c: tuple[int, int, int, int], relu: bool) -> None:
        super().__init__()
        self.stem = Stem(c[0])
        self.stage3 = nn.Sequential(GatherExpand(c[0], c[1], 2), GatherExpand(c[1], c[1], 1))
        self.stage4 = nn.Sequential(GatherExpand(c[1], c[2], 2), GatherExpand(c[2], c[2], 1))
        self.stage5 = nn.Sequential(GatherExpand(c[2], c[3], 2), *(GatherExpand(c[3], c[3], 1) for _ in range(3)))
        self.context = ContextEmbedding(c[3], relu)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        at4 = self.stem(x)
        at8 = self.stage3(at4)
        at16 = self.stage4(at8)
        at32 = self.stage5(at16)
        return at4, at8, at16, at32, self.context(at32)


class GuidedAggregation(nn.Module):
    """Bilateral guided aggregation: each branch gates the other at its own scale (figure 6)."""

    def __init__(self, c: int, coincheung: bool) -> None:
        super().__init__()
        self.enlarge = repeat if coincheung else upsample
        self.detail_keep = nn.Sequential(ConvBNReLU(c, c, groups=c, relu=False), nn.Conv2d(c, c, 1, bias=False))
        self.detail_down = nn.Sequential(ConvBNReLU(c, c, 3, 2, relu=False), nn.AvgPool2d(3, 2, 1))
        self.semantic_up = ConvBNReLU(c, c, relu=False)
        self.semantic_keep = nn.Sequential(ConvBNReLU(c, c, groups=c, relu=False), nn.Conv2d(c, c, 1, bias=False))
        self.fuse = ConvBNReLU(c, c, relu=coincheung)

    def forward(self, detail: torch.Tensor, semantic: torch.Tensor) -> torch.Tensor:
        fine = self.detail_keep(detail) * torch.sigmoid(self.enlarge(self.semantic_up(semantic), 4))
        coarse = self.detail_down(detail) * torch.sigmoid(self.semantic_keep(semantic))
        fused: torch.Tensor = self.fuse(fine + self.enlarge(coarse, 4))
        return fused


class BiSeNetV2(nn.Module):
    """Logits at 1/8 of the input; in training the auxiliary heads' logits follow.

    Args:
        classes: channels of the logits.
        width: scales the detail branch's channels 64, 64, 128 and the aggregation's 128.
        early: scales the detail branch's first two stages instead of ``width``: they see the largest pictures and
            cost the most.
        semantic: scales the semantic branch's channels 16, 32, 64, 128.
        head: channels of the head's hidden layer (the paper's 1024 costs 40 % of all work at 512x1024).
        variant: ``paper``, or ``coincheung`` for the published checkpoints of that repository: the aggregation
            enlarges by repeating pixels, and a ReLU follows it and the context embedding.

    Forward takes (N, 3, H, W) normalised floats, H and W multiples of 32 (UsageError otherwise).
    """

    stride = 8

    def __init__(
        self, classes: int, width: float = 1.0, semantic: float = 1.0, head: int = 128, variant: str = "paper",
        early: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if variant not in VARIANTS:
            raise UsageError(f"no variant {variant!r} of BiSeNetV2", cure=nearest(variant, VARIANTS))
        coincheung = variant == "coincheung"
        c1, c3 = scaled(64, width if early is None else early), scaled(128, width)
        s1, s2, s3, s4 = (scaled(v, semantic) for v in (16, 32, 64, 128))
        self.detail = DetailBranch(c1, c3)
        self.semantic = SemanticBranch((s1, s2, s3, s4), coincheung)
        self.match = nn.Identity() if s4 == c3 else ConvBNReLU(s4, c3, 1)
        self.aggregation = GuidedAggregation(c3, coincheung)
        self.head = Head(c3, head, classes)
        self.auxiliary = nn.ModuleList(Head(c, 64, classes) for c in (s1, s2, s3, s4))
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        check_input(x)
        *features, context = self.semantic(x)
        logits: torch.Tensor = self.head(self.aggregation(self.detail(x), self.match(context)))
        if not self.training:
            return logits
        return [logits, *(aux(f) for aux, f in zip(self.auxiliary, features, strict=True))]
