"""What is done to batches of pictures, each with its own parameter. Pictures are (N, 3, H, W) float32 BGR, 0..255."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from drivenet.training.on_device.draws import Floats

_LUMA = (0.114, 0.587, 0.299)  # BGR, Rec. 601
#: BGR to luma and chroma as JFIF has them.
_TO_YCC = ((0.114, 0.587, 0.299), (0.5, -0.331264, -0.168736), (-0.081312, -0.418688, 0.5))
#: Quantisation of luma and chroma at quality 50 (JPEG, annex K).
_LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *[(99,) * 8] * 4,
)  # fmt: skip


def on(values: npt.NDArray[np.generic], like: torch.Tensor) -> torch.Tensor:
    """An array of the host on the device of ``like``."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device, non_blocking=True)


def by_picture(values: Floats, like: torch.Tensor) -> torch.Tensor:
    """(N,) or (N, C) numbers as (N, C, 1, 1), to be broadcast over pictures."""
    return on(values.reshape(len(values), -1), like)[..., None, None]


def luminance(images: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W)."""
    b, g, r = images.unbind(1)
    return (_LUMA[0] * b + _LUMA[1] * g + _LUMA[2] * r)[:, None]


def blur(images: torch.Tensor, sigma: Floats) -> torch.Tensor:
    """Gaussian blur of any number of channels, ``sigma`` (N,) pixels; reflected at the border."""
    n, c, h, w = images.shape
    radius = min(max(1, math.ceil(3 * float(sigma.max()))), h - 1, w - 1)
    x = np.arange(-radius, radius + 1, dtype=np.float32)
    kernel = np.exp(-(x**2) / (2 * sigma[:, None] ** 2))
    weights = on((kernel / kernel.sum(1, keepdims=True)).astype(np.float32), images).repeat_interleave(c, 0)
    flat = F.pad(images.reshape(1, n * c, h, w), (radius,) * 4, mode="reflect")
    flat = F.conv2d(flat, weights[:, None, None, :], groups=n * c)
    return F.conv2d(flat, weights[:, None, :, None], groups=n * c).reshape(n, c, h, w)


def shift_hue(images: torch.Tensor, degrees: Floats) -> torch.Tensor:
    """Turn every colour by ``degrees`` (N,) of the hue circle; value and saturation stay."""
    b, g, r = images.unbind(1)
    top, chroma = images.amax(1), images.amax(1) - images.amin(1)
    safe = chroma.clamp_min(1e-6)
    hue = torch.where(top == r, (g - b) / safe, torch.where(top == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    hue = hue + on((degrees / 60).astype(np.float32), images)[:, None, None]
    sixths = torch.stack([(hue + n) % 6 for n in (1, 3, 5)], 1)  # of blue, green, red
    return top[:, None] - chroma[:, None] * torch.minimum(sixths, 4 - sixths).clamp(0, 1)


def jpeg(images: torch.Tensor, quality: Floats) -> torch.Tensor:
    """What JPEG with chroma at half the size makes of pictures whose sides are multiples of 16; quality (N,) 1..100."""
    ycc = torch.einsum("oc,nchw->nohw", torch.tensor(_TO_YCC, device=images.device), images.clamp(0, 255))
    scale = np.where(quality < 50, 5000 / quality, 200 - 2 * quality).astype(np.float32)
    luma = _quantise(ycc[:, :1] - 128, _LUMA_STEPS, scale) + 128
    chroma = _quantise(F.avg_pool2d(ycc[:, 1:], 2), _CHROMA_STEPS, scale)
    chroma = F.interpolate(chroma, scale_factor=2.0, mode="bilinear", align_corners=False)
    cb, cr = chroma[:, :1], chroma[:, 1:]
    return torch.cat([luma + 1.772 * cb, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.402 * cr], 1).clamp(0, 255)


def _quantise(planes: torch.Tensor, at_50: tuple[tuple[int, ...], ...], scale: Floats) -> torch.Tensor:
    """Round the discrete cosine transform of 8x8 blocks to the steps of each picture's quality."""
    n, c, h, w = planes.shape
    steps = np.clip(np.floor((np.array(at_50) * scale[:, None, None] + 50) / 100), 1, 255).astype(np.float32)
    step = on(steps, planes)[:, None, None, None]
    k, x = np.mgrid[:8, :8]
    basis = np.cos((2 * x + 1) * k * np.pi / 16) * np.where(k == 0, np.sqrt(1 / 8), 0.5)
    dct = on(basis.astype(np.float32), planes)
    blocks = planes.reshape(n, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    rounded = torch.round(dct @ blocks @ dct.T / step) * step
    return (dct.T @ rounded @ dct).transpose(3, 4).reshape(n, c, h, w)
