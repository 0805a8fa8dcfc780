"""Batches as a pure function of seed and iteration, so that a resumed run sees what it would have seen."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from drivenet.classmap import Ids
from drivenet.data.base import Sample
from drivenet.errors import UsageError
from drivenet.frame import Image
from drivenet.training.augment import Augment
from drivenet.training.ranks import ALONE, Ranks

AHEAD = 3  #: batches prepared while the network works


class Pictures(Protocol):
    """Labelled pictures by number: a list of samples, or a data set that reads them when asked."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, index: int, /) -> Sample:
        """One of them."""

    def __iter__(self) -> Iterator[Sample]:
        """All of them, in order."""


class BatchSource(Protocol):
    """Where a run's batches come from."""

    def at(self, iteration: int, /) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures (N, 3, H, W) uint8 BGR, channels last, and ids (N, H, W) uint8 of one iteration."""

    def start(self, first: int, /) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """Batches from an iteration on, without end."""


class Batches:
    """Augmented batches from real and drawn pictures.

    Args:
        real: pictures of the data set.
        drawn: pictures of the synthetic drive.
        share: of samples that are drawn.
        augment: how one sample is varied.
        deployed: (height, width) of the network's input in use.
        batch: samples a batch of this process.
        seed: of everything.
        ranks: which part of all processes' samples is this one's.

    Raises:
        UsageError: if there is no picture at all.
    """

    def __init__(
        self, real: Pictures, drawn: Pictures, share: float, augment: Augment, deployed: tuple[int, int],
        batch: int, seed: int, ranks: Ranks = ALONE,
    ) -> None:  # fmt: skip
        if not len(real) and not len(drawn):
            raise UsageError("no pictures to train on", cure="set data.synthetic_frames above 0")
        self.real, self.drawn, self.share = real, drawn, share if len(drawn) else 0.0
        self.augment, self.deployed, self.batch, self.seed = augment, deployed, batch, seed
        self.ranks = ranks

    def at(self, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures (N, 3, H, W) uint8 BGR, channels last, and ids (N, H, W) uint8 of one iteration."""
        first = (iteration * self.ranks.world + self.ranks.rank) * self.batch
        pairs = [self._sample(first + i) for i in range(self.batch)]
        images = torch.from_numpy(np.stack([p[0] for p in pairs])).permute(0, 3, 1, 2)
        return images, torch.from_numpy(np.stack([p[1] for p in pairs]))

    def _sample(self, number: int) -> tuple[Image, Ids]:
        rng = np.random.default_rng((self.seed, 1, number))
        drawn = len(self.drawn) > 0 and (not len(self.real) or rng.random() < self.share)
        if drawn:
            sample = self.drawn[int(rng.integers(len(self.drawn)))]
        else:
            epoch, place = divmod(number, len(self.real))
            order = np.random.default_rng((self.seed, 2, epoch)).permutation(len(self.real))
            sample = self.real[int(order[place])]
        return self.augment(sample.image, sample.ids, self.deployed, rng, drawn)

    def start(self, first: int) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """Batches from an iteration on, without end, prepared in a thread that ends with the iterator."""
        ready: queue.Queue[tuple[torch.Tensor, torch.Tensor] | BaseException] = queue.Queue(AHEAD)
        stop = threading.Event()

        def put(item: tuple[torch.Tensor, torch.Tensor] | BaseException) -> None:
            while not stop.is_set():
                try:
                    return ready.put(item, timeout=0.2)
                except queue.Full:
                    continue

        def work() -> None:
            iteration = first
            while not stop.is_set():
                try:
                    put(self.at(iteration))
                except Exception as error:  # noqa: BLE001 - handed to the consumer, who raises it
                    return put(error)
                iteration += 1

        thread = threading.Thread(target=work, name="batches", daemon=True)
        thread.start()
        try:
            while True:
                item = ready.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()


def class_shares(samples: Pictures, classes: int) -> npt.NDArray[np.float64]:
    """Share of labelled pixels by class, (classes,) float64; of at most 500 pictures, evenly spread."""
    counts = np.zeros(256, np.int64)
    for sample in (samples[i] for i in range(0, len(samples), max(1, -(-len(samples) // 500)))):
        counts += np.bincount(sample.ids.ravel(), minlength=256)
    return np.asarray(counts[:classes] / max(1, counts[:classes].sum()), np.float64)
