"""Batches made on the device, a drop-in for :class:`drivenet.training.samples.Batches`."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from drivenet.data.base import Sample
from drivenet.errors import UsageError
from drivenet.labels import LabelSet
from drivenet.training.on_device.augment import BatchAugment
from drivenet.training.on_device.draws import Bools, Draws, Floats
from drivenet.training.on_device.pool import PARTS, Pool, View
from drivenet.training.ranks import ALONE, Ranks
from drivenet.training.settings import AugmentSettings

Indices = npt.NDArray[np.intp]


class DeviceBatches:
    """Augmented batches from real and drawn pictures that the device keeps; a pure function of seed and iteration.

    Args:
        real: pictures of the data set, of one size.
        drawn: pictures of the synthetic drive, of one size.
        share: of samples that are drawn.
        settings: how samples are varied.
        labels: what the ids mean.
        deployed: (height, width) of the network's input in use.
        batch: samples a batch of this process.
        seed: of everything.
        device: where pictures are kept and varied.
        ranks: which part of all processes' samples is this one's.

    Raises:
        UsageError: if there is no picture at all, or sizes differ.
    """

    def __init__(
        self, real: Sequence[Sample], drawn: Sequence[Sample], share: float, settings: AugmentSettings,
        labels: LabelSet, deployed: tuple[int, int], batch: int, seed: int, device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:  # fmt: skip
        if not len(real) and not len(drawn):
            raise UsageError("no pictures to train on", cure="set data.synthetic_frames above 0")
        vehicle = np.isin(np.arange(256), labels.ids_of_group("vehicle"))
        self.real, self.drawn = (Pool(s, vehicle, device) if len(s) else None for s in (real, drawn))
        self.share = 0.0 if self.drawn is None else share if self.real is not None else 1.0
        self.settings, self.augment = settings, BatchAugment(settings, labels, device)
        self.deployed, self.batch, self.seed, self.device, self.ranks = deployed, batch, seed, device, ranks

    @torch.no_grad()
    def at(self, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures (N, 3, H, W) uint8 BGR and ids (N, H, W) uint8 of one iteration, on the device."""
        first, everyone = self.ranks.rank * self.batch, self.ranks.world * self.batch
        draws = Draws.of(self.seed, iteration, everyone, slice(first, first + self.batch))
        drawn = draws.yes(self.share)
        pick = draws.uniform(0, 1)
        numbers = np.zeros(self.batch, np.intp)
        if self.real is not None:
            numbers = self._turn(iteration * everyone + first, len(self.real))
        if self.drawn is not None:
            of_drawn = np.minimum((pick * len(self.drawn)).astype(np.intp), len(self.drawn) - 1)
            numbers = np.where(drawn, of_drawn, numbers)
        view = View.draw(draws, self.settings, self.deployed[0], self._side(drawn, 0), self._side(drawn, 1))
        shown = self._show(drawn, numbers, view)
        pixels, light = self._parts(drawn, numbers, view)
        images = self.augment(*shown, pixels, light, drawn, draws)
        return images.contiguous(memory_format=torch.channels_last), shown[1]

    def start(self, first: int) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """Batches from an iteration on, without end."""
        iteration = first
        while True:
            yield self.at(iteration)
            iteration += 1

    def _turn(self, number: int, pictures: int) -> Indices:
        """The pictures whose turn it is: all of them once an epoch, in a new order each."""
        epochs, places = np.divmod(np.arange(number, number + self.batch), pictures)
        orders = {e: np.random.default_rng((self.seed, 2, int(e))).permutation(pictures) for e in np.unique(epochs)}
        return np.array([orders[e][p] for e, p in zip(epochs, places, strict=True)], np.intp)

    def _side(self, drawn: Bools, axis: int) -> Floats:
        """Heights or widths of the samples' pictures."""
        sides = [0 if p is None else (p.height, p.width)[axis] for p in (self.real, self.drawn)]
        return np.where(drawn, sides[1], sides[0]).astype(np.float32)

    def _show(
        self, drawn: Bools, numbers: Indices, view: View
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        h, w = view.size
        images = torch.empty(self.batch, 3, h, w, device=self.device)
        ids, parts = (torch.empty(self.batch, h, w, dtype=torch.uint8, device=self.device) for _ in range(2))
        for pool, here in ((self.real, np.flatnonzero(~drawn)), (self.drawn, np.flatnonzero(drawn))):
            if pool is None or not len(here):
                continue
            where = torch.from_numpy(here).to(self.device)
            images[where], ids[where], parts[where] = pool.show(numbers[here], view[here])
        return images, ids, parts

    def _parts(self, drawn: Bools, numbers: Indices, view: View) -> tuple[Floats, Floats]:
        """Pixels that vehicles would have in a sample that shows all of them, and their luminance; (N, P) each."""
        pixels, light = (np.zeros((self.batch, PARTS), np.float32) for _ in range(2))
        if self.real is not None:
            real = np.flatnonzero(~drawn)
            area = (view.x_scale[real] * view.y_scale[real])[:, None]
            pixels[real] = self.real.part_pixels[numbers[real]] * area
            light[real] = self.real.part_light[numbers[real]]
        return pixels, light
