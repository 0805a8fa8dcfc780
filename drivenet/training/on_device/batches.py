"""Batches made on the device, a drop-in for :class:`drivenet.training.samples.Batches`."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from drivenet.training.on_device.augment import BatchAugment
from drivenet.training.on_device.draws import Draws, Floats
from drivenet.training.on_device.pool import PARTS, Pool, View
from drivenet.training.ranks import ALONE, Ranks
from drivenet.training.samples import Batch, Order, Pick
from drivenet.training.sets import SetCodes
from drivenet.training.settings import TrainSettings

Indices = npt.NDArray[np.intp]


class DeviceBatches:
    """Augmented batches from sources that the device keeps; a pure function of seed and iteration.

    Args:
        order: which picture each sample is made of; its sources are in memory, each of pictures of one size.
        settings: the run.
        codes: what the labels mean.
        device: where pictures are kept and varied.
        ranks: which part of all processes' samples is this one's.

    Raises:
        UsageError: if the sizes of a source differ.
    """

    def __init__(
        self, order: Order, settings: TrainSettings, codes: SetCodes, device: torch.device, ranks: Ranks = ALONE
    ) -> None:
        self.order, self.settings = order, settings.augment
        vehicle = codes.within(codes.labels.ids_of_group("vehicle"))
        self.pools = [Pool(list(s.pictures), vehicle, device) for s in order.sources]
        self.augment = BatchAugment(settings.augment, codes, device)
        self.deployed, self.batch, self.seed = settings.input, settings.batch, settings.seed
        self.device, self.ranks = device, ranks

    @torch.no_grad()
    def at(self, iteration: int) -> Batch:
        """Pictures (N, 3, H, W) uint8 BGR and codes (N, H, W) uint8 of one iteration, on the device."""
        first, everyone = self.ranks.rank * self.batch, self.ranks.world * self.batch
        draws = Draws.of(self.seed, iteration, everyone, slice(first, first + self.batch))
        picks = [self.order.pick(iteration * everyone + first + i) for i in range(self.batch)]
        pools = np.array([p.source for p in picks])
        drawn = np.array([self.order.sources[p.source].drawn for p in picks])
        numbers = np.array([p.picture for p in picks])
        sides = np.array([self.pools[i].size for i in pools], np.float32)
        view = View.draw(draws, self.settings, self.deployed, sides, _shown(picks))
        shown = self._show(pools, numbers, view)
        pixels, light = self._parts(pools, numbers, view)
        images = self.augment(*shown, pixels, light, drawn, draws)
        return images.contiguous(memory_format=torch.channels_last), shown[1]

    def start(self, first: int) -> Generator[Batch, None, None]:
        """Batches from an iteration on, without end."""
        iteration = first
        while True:
            yield self.at(iteration)
            iteration += 1

    def _show(self, pools: Indices, numbers: Indices, view: View) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        h, w = view.size
        images = torch.empty(self.batch, 3, h, w, device=self.device)
        ids, parts = (torch.empty(self.batch, h, w, dtype=torch.uint8, device=self.device) for _ in range(2))
        for i in np.unique(pools):
            here = np.flatnonzero(pools == i)
            where = torch.from_numpy(here).to(self.device)
            images[where], ids[where], parts[where] = self.pools[i].show(numbers[here], view[here])
        return images, ids, parts

    def _parts(self, pools: Indices, numbers: Indices, view: View) -> tuple[Floats, Floats]:
        """Pixels that vehicles would have in a sample that shows all of them, and their luminance; (N, P) each."""
        pixels, light = (np.zeros((self.batch, PARTS), np.float32) for _ in range(2))
        area = (view.x_scale * view.y_scale)[:, None]
        for k, (i, number) in enumerate(zip(pools, numbers, strict=True)):
            pixels[k] = self.pools[i].part_pixels[number] * area[k]
            light[k] = self.pools[i].part_light[number]
        return pixels, light


def _shown(picks: Sequence[Pick]) -> Floats:
    """Rows and columns that samples have to show, (N, 2); NaN where there is none."""
    return np.array([p.shown or (np.nan, np.nan) for p in picks], np.float32)
