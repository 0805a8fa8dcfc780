"""Samples that show rare classes: which pictures hold them, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids

#: Pixels of a class that a picture has to hold to be taken for it.
LEAST_PIXELS = 20

Codes = npt.NDArray[np.bool_]  #: (256,) which codes are the class


class Focus:
    """Chooses pictures for rare classes.

    Args:
        ids: label codes of every source's pictures, (H, W) uint8 each, read once.
        classes: codes of each rare class; a set counts for each of its members where all of them are rare.
        share: of the samples that are chosen for a class.
    """

    def __init__(self, ids: Sequence[Iterable[Ids]], classes: Sequence[Codes], share: float) -> None:
        self.classes, self.share = list(classes), share
        self._holders = [self._held(pictures) for pictures in ids]

    @property
    def absent(self) -> list[int]:
        """Numbers of the classes that no source has a picture of."""
        return [i for i in range(len(self.classes)) if not any(i in held for held in self._holders)]

    def _held(self, pictures: Iterable[Ids]) -> dict[int, npt.NDArray[np.intp]]:
        """Numbers of the pictures that hold a class, by class, where there are any."""
        counts = np.stack([np.bincount(p.ravel(), minlength=256) for p in pictures])
        held = {i: np.flatnonzero(counts[:, codes].sum(1) >= LEAST_PIXELS) for i, codes in enumerate(self.classes)}
        return {i: numbers for i, numbers in held.items() if len(numbers)}

    def choose(self, source: int, place: int, rng: np.random.Generator) -> tuple[int, int | None]:
        """The picture to take in place of the one whose turn it is, and the class that it is for, or None."""
        held = self._holders[source]
        if not held or rng.random() >= self.share:
            return place, None
        chosen = list(held)[int(rng.integers(len(held)))]
        return int(held[chosen][int(rng.integers(len(held[chosen])))]), chosen

    def pixel(self, ids: Ids, chosen: int, rng: np.random.Generator) -> tuple[int, int]:
        """One of the pixels (row, column) of the class."""
        places = np.flatnonzero(self.classes[chosen][ids])
        row, column = divmod(int(places[int(rng.integers(len(places)))]), ids.shape[1])
        return row, column
