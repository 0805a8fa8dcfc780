"""Varied training samples in batches: the device's counterpart of :mod:`drivenet.training.augment`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from drivenet.training.on_device import recolour
from drivenet.training.on_device.draws import Bools, Draws, Floats
from drivenet.training.on_device.pixels import blur, by_picture, jpeg, luminance, on, shift_hue
from drivenet.training.on_device.pool import PARTS
from drivenet.training.recolour import DRY, HILLS, SKIES, TINT, WAVES, sky_and_tree
from drivenet.training.sets import SetCodes
from drivenet.training.settings import AugmentSettings

Indices = npt.NDArray[np.intp]
#: Vehicles of fewer pixels keep their paint.
LEAST_PIXELS = 60


class BatchAugment:
    """Label-aware recolouring, photometry and sensor faults of a batch, in this order.

    Args:
        settings: probabilities and ranges.
        codes: tells which codes are sky, vegetation and road.
        device: where the pictures are.
    """

    def __init__(self, settings: AugmentSettings, codes: SetCodes, device: torch.device) -> None:
        self.settings = settings
        sky, self._tree = sky_and_tree(codes.labels)
        self._skies = torch.from_numpy(codes.within([sky])).to(device)
        self._trees = torch.from_numpy(codes.holding(self._tree)).to(device)
        self._road = torch.from_numpy(codes.within(codes.labels.ids_of_group("road"))).to(device)

    def __call__(
        self, images: torch.Tensor, ids: torch.Tensor, parts: torch.Tensor, part_pixels: Floats, part_light: Floats,
        drawn: Bools, draws: Draws,
    ) -> torch.Tensor:  # fmt: skip
        """Varied pictures (N, 3, H, W) uint8.

        Args:
            images: (N, 3, H, W) float32 BGR; overwritten.
            ids: (N, H, W) uint8; hills are written into it.
            parts: (N, H, W) uint8, the number of the vehicle.
            part_pixels, part_light: (N, P) pixels in the sample and mean luminance by number.
            drawn: (N,) of the synthetic drive: hills, no recolouring, half the jitter.
            draws: the only source of chance.
        """
        s = self.settings
        self._hills(images, ids, draws)
        self._recolour(images, ids, ~drawn, draws)
        self._paint(images, parts, part_pixels, part_light, ~drawn & draws.yes(s.recolour_cars), draws)
        self._light(images, ids, ~drawn, draws)
        _jitter(images, draws.yes(s.jitter * np.where(drawn, np.float32(0.5), np.float32(1))), draws)
        images.clamp_(0, 255)
        self._sensor(images, draws)
        return images.clamp_(0, 255).round_().to(torch.uint8)

    def _hills(self, images: torch.Tensor, ids: torch.Tensor, draws: Draws) -> None:
        h, w = ids.shape[1:]
        rise = draws.uniform(0.04, 0.3)[:, None] * h * (0.5 + 0.5 * _ridges(w, draws))
        kinds = np.array(HILLS, np.float32)[np.floor(draws.uniform(0, len(HILLS) - 1e-3)).astype(int)]  # (N, 2, 3)
        colour = recolour.between(kinds[:, 0], kinds[:, 1], draws.uniforms(0, 1, 3))
        haze, rough, grain = draws.uniform(0, 0.6), draws.uniform(0.03, 0.2), draws.uniform(0, 2**31)

        def change(x: torch.Tensor, where: torch.Tensor, i: Indices) -> torch.Tensor:
            masks = recolour.behind_ridge(self._skies[ids[where].long()], rise[i])
            ids[where] = torch.where(masks, self._tree, ids[where])
            noise = _noise(x.new_empty(len(i), 1, max(2, h // 8), max(2, w // 8)), grain[i])
            return recolour.hills(x, masks, colour[i], haze[i], noise * by_picture(rough[i], x))

        apply(images, draws.yes(self.settings.hills), change)

    def _recolour(self, images: torch.Tensor, ids: torch.Tensor, real: Bools, draws: Draws) -> None:
        gain = draws.uniform(0.5, 1.6)[:, None] * (1 + draws.uniforms(-0.08, 0.08, 3))
        dry = recolour.between(*DRY, draws.uniforms(0, 1, 3))

        def change(x: torch.Tensor, where: torch.Tensor, i: Indices) -> torch.Tensor:
            return recolour.tint(x, self._road[ids[where].long()], gain[i])

        def wither(x: torch.Tensor, where: torch.Tensor, i: Indices) -> torch.Tensor:
            return recolour.tint(x, self._trees[ids[where].long()], dry[i])

        apply(images, real & draws.yes(self.settings.recolour_road), change)
        apply(images, real & draws.yes(self.settings.dry), wither)

    def _paint(
        self, images: torch.Tensor, parts: torch.Tensor, pixels: Floats, light: Floats, chosen: Bools, draws: Draws
    ) -> None:  # fmt: skip
        colours = draws.uniforms(20, 235, 3 * PARTS).reshape(-1, PARTS, 3)
        amounts = draws.uniforms(0.4, 0.8, PARTS) * (draws.uniforms(0, 1, PARTS) >= 0.5) * (pixels >= LEAST_PIXELS)
        bright = np.maximum(light, 8)

        def change(x: torch.Tensor, where: torch.Tensor, i: Indices) -> torch.Tensor:
            return recolour.paint(x, parts[where], bright[i], colours[i], amounts[i])

        apply(images, chosen & amounts[:, 1:].any(1), change)

    def _light(self, images: torch.Tensor, ids: torch.Tensor, real: Bools, draws: Draws) -> None:
        """Dusk, night, or a sky of another colour."""
        s, draw = self.settings, draws.uniform(0, 1)
        night, dusk = real & (draw < s.night), real & (draw >= s.night) & (draw < s.night + s.dusk)
        blue = draws.yes(0.75)
        look = np.select([night, dusk, blue], ["night", "dusk", "blue"], "grey")
        level = draws.uniform(0, 1)
        level = np.where(night, 0.15 + 0.25 * level, 0.4 + 0.35 * level).astype(np.float32)
        glow = draws.uniform(0.2, 0.6) * (night & draws.yes(0.7))
        at = draws.uniform(0.3, 0.7)
        apply(images, night | dusk, lambda x, _, i: recolour.dim(x, night[i], level[i], glow[i], at[i]))
        skies = np.array([SKIES[name] for name in look], np.float32)  # (N, 4, 3)
        shares = [draws.uniform(0, 1)[:, None] + draws.uniforms(-TINT, TINT, 3) for _ in range(2)]
        zenith, horizon = (
            recolour.between(skies[:, 2 * i], skies[:, 2 * i + 1], share.clip(0, 1)) for i, share in enumerate(shares)
        )
        bend, amount = draws.uniform(0.6, 1.6), draws.uniform(0.7, 1.0)

        def change(x: torch.Tensor, where: torch.Tensor, i: Indices) -> torch.Tensor:
            return recolour.sky(x, self._skies[ids[where].long()], zenith[i], horizon[i], bend[i], amount[i])

        apply(images, night | dusk | (real & draws.yes(s.recolour_sky)), change)

    def _sensor(self, images: torch.Tensor, draws: Draws) -> None:
        s = self.settings
        sigma, deviation, quality = draws.uniform(0.4, 1.4), draws.uniform(2, 12), draws.uniform(25, 85)
        grain = draws.uniform(0, 2**31)
        apply(images, draws.yes(s.blur), lambda x, _, i: blur(x, sigma[i]))
        apply(images, draws.yes(s.noise), lambda x, _, i: x + _noise(x, grain[i]) * by_picture(deviation[i], x))
        apply(images, draws.yes(s.jpeg), lambda x, _, i: jpeg(x, np.floor(quality[i])))


def apply(
    images: torch.Tensor, chosen: Bools, change: Callable[[torch.Tensor, torch.Tensor, Indices], torch.Tensor]
) -> None:
    """Change some pictures of a batch in place; ``change`` takes them, and their numbers on the device and here."""
    numbers = np.flatnonzero(chosen)
    if len(numbers):
        where = on(numbers, images)
        images[where] = change(images[where], where, numbers)


def _ridges(width: int, draws: Draws) -> Floats:
    """Sums of waves, (N, width) in -1..1."""
    x = np.arange(width, dtype=np.float32) / width
    waves = [
        share * np.sin(2 * np.pi * (draws.uniform(low, high)[:, None] * x + draws.uniform(0, 1)[:, None]))
        for low, high, share in WAVES
    ]
    return np.asarray(np.sum(waves, axis=0), np.float32)


def _noise(images: torch.Tensor, seeds: Floats) -> torch.Tensor:
    """Standard normal numbers, of each picture's own seed: what else is in the batch does not matter."""
    out, generator = torch.empty_like(images), torch.Generator(images.device)
    for picture, seed in zip(out, seeds, strict=True):
        picture.normal_(generator=generator.manual_seed(int(seed)))
    return out


def _jitter(images: torch.Tensor, chosen: Bools, draws: Draws) -> None:
    """Brightness, contrast, gamma, gains by channel, saturation and hue."""
    saturation, contrast = draws.uniform(0.5, 1.6), draws.uniform(0.65, 1.4)
    gain = draws.uniform(0.65, 1.4)[:, None] * draws.uniforms(0.88, 1.12, 3)
    gamma = np.exp(draws.uniform(-0.4, 0.4))
    turn = chosen & draws.yes(0.3)
    degrees = np.floor(draws.uniform(-9, 10)) * 2

    def change(x: torch.Tensor, _: torch.Tensor, i: Indices) -> torch.Tensor:
        grey = luminance(x)
        x = grey + (x - grey) * by_picture(saturation[i], x)
        mean = grey.mean((2, 3), keepdim=True)
        x = (mean + (x - mean) * by_picture(contrast[i], x)) * by_picture(gain[i], x)
        return (x / 255).clamp(0, 1) ** by_picture(gamma[i], x) * 255

    apply(images, chosen, change)
    apply(images, turn, lambda x, _, i: shift_hue(x, degrees[i]))
