"""Batches as a pure function of seed and iteration, so that a resumed run sees what it would have seen."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from drivenet.classmap import Ids
from drivenet.data.base import Sample
from drivenet.errors import UsageError
from drivenet.frame import Image
from drivenet.things import UNSURE
from drivenet.training.augment import Augment
from drivenet.training.focus import Focus
from drivenet.training.instances import Instances, numbered
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


#: Takes a sample, the number of its source and the generator of all chance.
Pasting = Callable[[Sample, int, np.random.Generator], Sample]


#: Pictures (N, 3, H, W) uint8 BGR, channels last; codes (N, H, W) uint8; where single things are learnt their numbers,
#: (N, H, W) int32, 0 none, :data:`~drivenet.things.UNSURE` not known.
Batch = tuple[torch.Tensor, ...]


class BatchSource(Protocol):
    """Where a run's batches come from."""

    def at(self, iteration: int, /) -> Batch:
        """That of one iteration."""

    def start(self, first: int, /) -> Generator[Batch, None, None]:
        """Batches from an iteration on, without end."""


@dataclass(frozen=True)
class Source:
    """Pictures of one data set, labelled in codes (see :class:`~drivenet.training.sets.SetCodes`).

    Args:
        pictures: the pictures.
        share: of the samples, relative to the other sources'.
        drawn: whether they are of the synthetic drive.
    """

    pictures: Pictures
    share: float
    drawn: bool = False


def filled(sources: Sequence[Source]) -> list[Source]:
    """Those that samples come from; UsageError if there are none."""
    some = [s for s in sources if len(s.pictures) and s.share > 0]
    if not some:
        raise UsageError("no pictures to train on", "a source with pictures and a share above 0")
    return some


@dataclass(frozen=True)
class Pick:
    """What one sample is made of.

    Args:
        source: its number.
        picture: its number in the source.
        shown: a pixel (row, column) that the sample has to show, or None.
        rng: for all that is still to be drawn.
    """

    source: int
    picture: int
    shown: tuple[int, int] | None
    rng: np.random.Generator


class Order:
    """Which picture each sample is made of: a pure function of seed and the sample's number.

    Args:
        sources: what to learn from.
        seed: of everything.
        focus: rare classes that some samples have to show; None for no such samples.
    """

    def __init__(self, sources: Sequence[Source], seed: int, focus: Focus | None = None) -> None:
        self.sources, self.seed, self.focus = sources, seed, focus
        shares = np.array([s.share for s in sources])
        self._shares = shares / shares.sum()

    def pick(self, number: int) -> Pick:
        """What the sample of a number is made of."""
        rng = np.random.default_rng((self.seed, 1, number))
        source = int(rng.choice(len(self.sources), p=self._shares))
        turn = self._turn(source, number)
        if self.focus is None:
            return Pick(source, turn, None, rng)
        picture, cls = self.focus.choose(source, turn, rng)
        if cls is None:
            return Pick(source, picture, None, rng)
        return Pick(source, picture, self.focus.pixel(self.sources[source].pictures[picture].ids, cls, rng), rng)

    def _turn(self, source: int, number: int) -> int:
        """The picture of a source whose turn it is: about all of them once an epoch, in a new order each."""
        count = len(self.sources[source].pictures)
        epoch, place = divmod(int(number * self._shares[source]), count)
        return int(np.random.default_rng((self.seed, 2, source, epoch)).permutation(count)[place])


class Batches:
    """Augmented batches from several sources.

    Args:
        order: which picture each sample is made of.
        augment: how one sample is varied.
        deployed: (height, width) of the network's input in use.
        batch: samples a batch of this process.
        ranks: which part of all processes' samples is this one's.
        paste: pastes things into a sample of a source; None for no such thing.
        things: whether batches hold the numbers of single things.
    """

    def __init__(
        self, order: Order, augment: Augment, deployed: tuple[int, int], batch: int, ranks: Ranks = ALONE,
        paste: Pasting | None = None, things: bool = False,
    ) -> None:  # fmt: skip
        self.order, self.augment, self.deployed, self.batch, self.ranks = order, augment, deployed, batch, ranks
        self.paste, self.things = paste, things
        self._workers = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 4), "samples")

    def at(self, iteration: int) -> Batch:
        """The batch of one iteration."""
        first = (iteration * self.ranks.world + self.ranks.rank) * self.batch
        samples = list(self._workers.map(self._sample, range(first, first + self.batch)))
        images, *labels = (torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))
        return (images.permute(0, 3, 1, 2), *labels)

    def _sample(self, number: int) -> tuple[Image, Ids] | tuple[Image, Ids, Instances]:
        pick = self.order.pick(number)
        source = self.order.sources[pick.source]
        sample = source.pictures[pick.picture]
        if self.paste is not None:
            sample = self.paste(sample, pick.source, pick.rng)
        how = self.deployed, pick.rng, source.drawn, pick.shown
        if not self.things:
            return self.augment(sample.image, sample.ids, *how)
        known = sample.instances
        instances = np.full(sample.ids.shape, UNSURE, np.uint16) if known is None else numbered(known)
        image, ids, parts = self.augment.parted(sample.image, sample.ids, instances, *how)
        return image, ids, parts.astype(np.int32)

    def start(self, first: int) -> Generator[Batch, None, None]:
        """Batches from an iteration on, without end, prepared in a thread that ends with the iterator."""
        ready: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
        stop = threading.Event()

        def put(item: Batch | BaseException) -> None:
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
