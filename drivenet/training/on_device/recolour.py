"""Recolouring by label in batches: what :mod:`drivenet.training.recolour` does to one picture.

Pictures are (N, 3, H, W) float32 BGR, 0..255; every function gives new ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from drivenet.training.on_device.draws import Bools, Floats
from drivenet.training.on_device.pixels import blur, by_picture, luminance, on


def soft(masks: torch.Tensor, sigma: float = 1.5) -> torch.Tensor:
    """(N, H, W) bool with a soft edge, (N, 1, H, W) float32 in 0..1."""
    return blur(masks[:, None].float(), np.full(len(masks), sigma, np.float32))


def sky(
    images: torch.Tensor, masks: torch.Tensor, zenith: Floats, horizon: Floats, bend: Floats, amount: Floats
) -> torch.Tensor:
    """Blend a vertical gradient into the sky, keeping its relative luminance.

    Args:
        images: the pictures.
        masks: (N, H, W) bool, where the sky is.
        zenith, horizon: (N, 3) BGR.
        bend: (N,) exponent of the way from one to the other.
        amount: (N,) of the gradient, 0..1.
    """
    h = images.shape[2]
    rows = masks.any(2)
    first = rows.float().argmax(1)[:, None]
    last = h - 1 - rows.flip(1).float().argmax(1)[:, None]
    t = (torch.arange(h, device=images.device)[None] - first) / (last - first).clamp_min(1)
    t = (t.clamp(0, 1) ** on(bend, images)[:, None])[:, None, :, None]
    gradient = by_picture(zenith, images) * (1 - t) + by_picture(horizon, images) * t
    bright, counted = luminance(images), masks[:, None]
    mean = (bright * counted).sum((2, 3), keepdim=True) / counted.sum((2, 3), keepdim=True).clamp_min(1)
    relative = (bright / mean.clamp_min(1)).clamp(0.6, 1.4)
    return images + (gradient * relative - images) * soft(masks) * by_picture(amount, images)


def behind_ridge(sky: torch.Tensor, rise: Floats) -> torch.Tensor:
    """The part of the sky (N, H, W) bool that lies less than ``rise`` (N, W) pixels above its lowest row."""
    h = sky.shape[1]
    lowest = h - 1 - sky.any(2).flip(1).float().argmax(1)
    ridge = lowest[:, None] - on(rise.astype(np.float32), sky)
    return sky & (torch.arange(h, device=sky.device)[None, :, None] > ridge[:, None])


def hills(
    images: torch.Tensor, masks: torch.Tensor, colour: Floats, haze: Floats, grain: torch.Tensor
) -> torch.Tensor:  # fmt: skip
    """Hills of a colour (N, 3) where the masks are, so far off that ``haze`` (N,) of them is what lies behind.

    ``grain`` (N, 1, h, w), any size, is how much brighter or darker than that they are.
    """
    counted = masks[:, None]
    behind = (images * counted).sum((2, 3), keepdim=True) / counted.sum((2, 3), keepdim=True).clamp_min(1)
    share = by_picture(haze, images)
    rough = 1 + F.interpolate(grain, images.shape[2:], mode="bicubic", align_corners=False)
    wanted = (by_picture(colour, images) * (1 - share) + behind * share) * rough
    return images + (wanted - images) * soft(masks, 0.8)


def tint(images: torch.Tensor, masks: torch.Tensor, gain: Floats) -> torch.Tensor:
    """Multiply what is masked by ``gain`` (N, 3)."""
    return images * (1 + soft(masks) * (by_picture(gain, images) - 1))


def paint(
    images: torch.Tensor, parts: torch.Tensor, light: Floats, colours: Floats, amounts: Floats
) -> torch.Tensor:  # fmt: skip
    """Give vehicles another paint, keeping their relative luminance.

    Args:
        images: the pictures.
        parts: (N, H, W) uint8: the number of the vehicle each pixel belongs to, 0 for none.
        light: (N, P) mean luminance by number.
        colours: (N, P, 3) BGR by number.
        amounts: (N, P) of the paint, 0..1 by number.
    """
    amounts = amounts.copy()
    amounts[:, 0] = 0
    # An edge is as soft as the paint is thin there: everything is weighed by the amount before it is blurred.
    table = np.concatenate([np.ones_like(amounts)[..., None], colours, light[..., None]], -1) * amounts[..., None]
    number = on(np.arange(len(table)), images)[:, None, None]
    wanted = on(table.astype(np.float32), images)[number, parts.long()].permute(0, 3, 1, 2)
    spread = blur(wanted.contiguous(), np.ones(len(table), np.float32))
    amount, colour, mean = spread[:, :1], spread[:, 1:4], spread[:, 4:]
    relative = (luminance(images) * amount / mean.clamp_min(1e-3)).clamp(0.2, 1.8)
    return images * (1 - amount) + colour * relative


def dim(images: torch.Tensor, night: Bools, level: Floats, glow: Floats, at: Floats) -> torch.Tensor:
    """The light of dusk or night on everything, and the glow of headlights on the ground.

    Args:
        images: the pictures.
        night: (N,) or it is dusk.
        level: (N,) of the light, 0..1.
        glow: (N,) what headlights add to it; 0 for none.
        at: (N,) where across the picture they shine, 0..1.
    """
    h, w = images.shape[2:]
    warm = np.where(night[:, None], (1.05, 0.95, 0.95), (0.75, 0.9, 1.15)).astype(np.float32)
    ys = (torch.arange(h, device=images.device) / h - 0.85) / 0.3
    xs = (torch.arange(w, device=images.device)[None] / w - on(at, images)[:, None]) / 0.35
    shine = torch.exp(-(xs**2)[:, None, :] - (ys**2)[None, :, None])[:, None]
    return images * (by_picture(level, images) + by_picture(glow, images) * shine) * by_picture(warm, images)


def between(low: npt.ArrayLike, high: npt.ArrayLike, share: Floats) -> Floats:
    """``low`` where ``share`` is 0, ``high`` where it is 1."""
    a, b = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return np.asarray(a + (b - a) * share, np.float32)
