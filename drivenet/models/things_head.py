"""A head for single things beside the class logits: a centre map and offsets (Cheng et al., CVPR 2020)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from drivenet.errors import UsageError
from drivenet.models import checkpoint as checkpoints
from drivenet.models.blocks import ConvBNReLU, initialise, upsample

#: Offsets are learnt in units of so many cells.
UNIT = 16.0
#: Features are averaged over so many cells for the middle level, and over twice as many for the deep one.
COARSE = 4
#: Channels of the middle and of the deep level.
MIDDLE, DEEP = 36, 64


class Maps(NamedTuple):
    """What the head gives: ``centres`` (N, 1, h, w) logits, ``offsets`` (N, 2, h, w) rows and columns in cells."""

    centres: torch.Tensor
    offsets: torch.Tensor


class ThingsHead(nn.Module):
    """Reads the features that the class logits are made of.

    A middle level looks at their mean over 4 x 4 cells and a deep one at that over 8 x 8, so that a vehicle of half the
    picture is seen as one; a fine one keeps the cells. 0.15 GMAC at 184 x 104 cells of 64 channels (736x416).

    Args:
        features: channels of the features.
        width: channels at full size.
    """

    def __init__(self, features: int = 64, width: int = 32) -> None:
        super().__init__()
        self.features, self.width = features, width
        self.middle = ConvBNReLU(features, MIDDLE)
        self.deep = nn.Sequential(
            ConvBNReLU(MIDDLE, DEEP), ConvBNReLU(DEEP, DEEP), ConvBNReLU(DEEP, DEEP),
            ConvBNReLU(DEEP, MIDDLE, 1, relu=False),
        )  # fmt: skip
        self.join = nn.Sequential(ConvBNReLU(MIDDLE, MIDDLE), ConvBNReLU(MIDDLE, width, 1, relu=False))
        self.fine = ConvBNReLU(features, width, 1, relu=False)
        self.mix = nn.Sequential(ConvBNReLU(width, width, 5, groups=width, relu=False), ConvBNReLU(width, width, 1))
        self.centres = nn.Conv2d(width, 1, 1)
        self.offsets = nn.Conv2d(width, 2, 1)
        initialise(self)
        for last in (self.centres, self.offsets):
            nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(self.centres.bias, -4.6)  # type: ignore[arg-type] # at first, one cell in a hundred

    def forward(self, features: torch.Tensor) -> Maps:
        """(N, features, h, w), h and w multiples of 8, to :class:`Maps`."""
        middle = self.middle(F.avg_pool2d(features, COARSE))
        middle = F.relu(middle + upsample(self.deep(F.avg_pool2d(middle, 2)), 2))
        x = self.mix(F.relu(self.fine(features) + upsample(self.join(middle), COARSE)))
        return Maps(self.centres(x), self.offsets(x) * UNIT)


class ThingsTail(nn.Module):
    """A head as it is deployed: uint8 outputs, with only the peaks of the centre map left.

    Args:
        head: trained.
        scale: cells that an offset of 1 stands for.
        window: side of the square in which a peak is the highest.
    """

    def __init__(self, head: ThingsHead, scale: float, window: int = 7) -> None:
        super().__init__()
        self.head, self.scale, self.window = head, scale, window

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, C, h, w) to ``centres`` (1, h, w) and ``offsets`` (1, 2, h, w), uint8; the casts are from float."""
        maps = self.head(features)
        heat = torch.sigmoid(maps.centres)
        # rounded first, so that the comparison is of whole numbers in every arithmetic
        heat = torch.round(heat * 255)
        highest = F.max_pool2d(heat, self.window, 1, self.window // 2)
        peaks = heat * (heat == highest).float()
        steps = torch.clamp(torch.round(maps.offsets / self.scale) + 128, 0, 255)
        return peaks[:, 0].to(torch.uint8), steps.to(torch.uint8)


def read_head(file: Path) -> ThingsHead:
    """The head of a checkpoint that :mod:`drivenet.training.things` wrote; UsageError for any other file."""
    return head_of(checkpoints.load(file), file)


def head_of(state: dict[str, Any], file: Path) -> ThingsHead:
    """The same of what was read from ``file``."""
    try:
        head = ThingsHead(state["network"]["fine.0.weight"].shape[1], state["settings"]["width"])
        head.load_state_dict(state["network"])
    except (KeyError, RuntimeError) as error:
        raise UsageError(f"{file} is no head for single things", "one that tools/train_things.py wrote") from error
    return head
