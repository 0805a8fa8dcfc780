"""Labelled pictures in the device's memory, and views of them: scaled, stretched, flipped, cropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from drivenet.data.base import Sample
from drivenet.errors import UsageError
from drivenet.labels import IGNORE_ID
from drivenet.training.on_device.draws import Bools, Draws, Floats
from drivenet.training.on_device.pixels import blur, on
from drivenet.training.settings import AugmentSettings

#: A picture's vehicles are told apart up to so many; 0 is all else.
PARTS = 12


@dataclass(frozen=True)
class View:
    """Which part of its picture each sample of a batch shows, (N,) each.

    Args:
        x_scale, y_scale: pixels of the sample per pixel of the picture.
        x, y: where the sample begins, in its own pixels.
        flip: whether left and right are exchanged.
        size: (height, width) of a sample.
    """

    x_scale: Floats
    y_scale: Floats
    x: Floats
    y: Floats
    flip: Bools
    size: tuple[int, int]

    @classmethod
    def draw(
        cls, draws: Draws, settings: AugmentSettings, deployed: tuple[int, int], sides: Floats, shown: Floats
    ) -> View:
        """By the settings.

        Args:
            draws: the only source of chance.
            settings: ranges.
            deployed: (height, width) that a whole picture has at the network's input.
            sides: (N, 2) heights and widths of the pictures.
            shown: (N, 2) rows and columns that the samples have to show, NaN where there is none.
        """
        scale = _around_one(draws, settings.scale)
        y_scale = np.asarray(scale * np.float32(deployed[0]) / sides[:, 0], np.float32)
        stretch = _around_one(draws, settings.aspect)
        x_scale = np.asarray(scale * stretch * np.float32(deployed[1]) / sides[:, 1], np.float32)
        h, w = settings.crop
        x = _offsets(sides[:, 1] * x_scale, w, (shown[:, 1] + 0.5) * x_scale, draws.uniform(0, 1))
        y = _offsets(sides[:, 0] * y_scale, h, (shown[:, 0] + 0.5) * y_scale, draws.uniform(0, 1))
        return cls(x_scale, y_scale, x, y, draws.yes(settings.flip), settings.crop)

    def __getitem__(self, which: npt.NDArray[np.intp]) -> View:
        """Of some samples."""
        x_scale, y_scale, x, y = (v[which] for v in (self.x_scale, self.y_scale, self.x, self.y))
        return View(x_scale, y_scale, x, y, self.flip[which], self.size)

    def places(self) -> tuple[Floats, Floats]:
        """Columns (N, width) and rows (N, height) of the picture that a sample's pixels lie at."""
        h, w = self.size
        columns = np.where(self.flip[:, None], np.arange(w)[::-1], np.arange(w))
        xs = (columns + self.x[:, None]) / self.x_scale[:, None]
        ys = (np.arange(h) + self.y[:, None]) / self.y_scale[:, None]
        return xs.astype(np.float32), ys.astype(np.float32)


def _around_one(draws: Draws, limits: tuple[float, float]) -> Floats:
    """Factors whose logarithms are spread evenly."""
    low, high = np.log(limits)
    return np.asarray(np.exp(draws.uniform(low, high)), np.float32)


def _offsets(sides: Floats, crop: int, shown: Floats, draw: Floats) -> Floats:
    """Where crops of scaled sides begin; what is ``shown`` (NaN: nothing) lies within, if the side is longer."""
    slack = sides - crop
    low, high = np.fmax(0, shown - crop), np.fmin(slack, shown)
    free = np.isnan(shown) | (slack <= 0)
    return np.asarray(np.where(free, slack * draw, low + (high - low) * draw), np.float32)


class Pool:
    """Pictures of one size.

    Args:
        samples: the pictures, all of one size.
        vehicle: (256,) bool: which ids are vehicles.
        device: where they are kept.

    Raises:
        UsageError: if sizes differ.
    """

    def __init__(self, samples: Sequence[Sample], vehicle: Bools, device: torch.device) -> None:
        sizes = {(s.ids.shape[0], s.ids.shape[1]) for s in samples}
        if len(sizes) != 1:
            found = ", ".join(f"{w}x{h}" for h, w in sorted(sizes))
            raise UsageError(f"pictures of sizes {found}", "one size", "set device_augment: false")
        self.size = self.height, self.width = sizes.pop()
        self.images = torch.from_numpy(np.stack([s.image for s in samples])).to(device).permute(0, 3, 1, 2)
        self.ids = torch.from_numpy(np.stack([s.ids for s in samples])).to(device)
        split = [_parts(s, vehicle) for s in samples]
        self.parts = torch.from_numpy(np.stack([p[0] for p in split])).to(device)
        self.part_pixels: Floats = np.stack([p[1] for p in split])
        self.part_light: Floats = np.stack([p[2] for p in split])

    def __len__(self) -> int:
        return len(self.ids)

    def show(
        self, which: npt.NDArray[np.intp], view: View
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        """Pictures (N, 3, h, w) float32, ids and parts (N, h, w) uint8; outside is black, ignored, no part."""
        xs, ys = (on(v, self.ids) for v in view.places())
        number = on(which, self.ids)
        pictures = self._smoothed(number, view)
        grid_x, grid_y = xs * (2 / (self.width - 1)) - 1, ys * (2 / (self.height - 1)) - 1
        n, w, h = len(xs), xs.shape[1], ys.shape[1]
        grid = torch.stack([grid_x[:, None, :].expand(n, h, w), grid_y[:, :, None].expand(n, h, w)], -1)
        pictures = F.grid_sample(pictures, grid, "bilinear", "zeros", align_corners=True)
        column, row = xs.round().long(), ys.round().long()
        inside = ((row >= 0) & (row < self.height))[:, :, None] & ((column >= 0) & (column < self.width))[:, None, :]
        place = (
            number[:, None, None],
            row.clamp(0, self.height - 1)[:, :, None],
            column.clamp(0, self.width - 1)[:, None, :],
        )
        ids = torch.where(inside, self.ids[place], IGNORE_ID)
        return pictures, ids, torch.where(inside, self.parts[place], 0)

    def _smoothed(self, number: torch.Tensor, view: View) -> torch.Tensor:
        """The pictures, those that shrink much blurred against aliasing."""
        pictures = self.images[number].float().contiguous()
        smaller = np.minimum(view.x_scale, view.y_scale)
        shrinks = np.flatnonzero(smaller <= 0.67)
        if len(shrinks):
            where = on(shrinks, pictures)
            pictures[where] = blur(pictures[where], (0.35 / smaller[shrinks]).astype(np.float32))
        return pictures


def _parts(sample: Sample, vehicle: Bools) -> tuple[npt.NDArray[np.uint8], Floats, Floats]:
    """The number of the vehicle that each pixel belongs to, and pixels and mean luminance by number."""
    _, found = cv2.connectedComponents(vehicle[sample.ids].astype(np.uint8))
    parts = np.where(found < PARTS, found, 0).astype(np.uint8)
    light = sample.image.astype(np.float32) @ np.array([0.114, 0.587, 0.299], np.float32)
    pixels = np.bincount(parts.ravel(), minlength=PARTS)
    sums = np.bincount(parts.ravel(), light.ravel(), PARTS)
    return parts, pixels.astype(np.float32), (sums / np.maximum(1, pixels)).astype(np.float32)
