"""The chances of one batch: made on the host, so that the device is never waited for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

#: Numbers drawn for every sample; a batch that asks for more fails.
A_SAMPLE = 128


class Draws:
    """Uniform random numbers, a column for every question; samples never share a number.

    Args:
        table: (N, K) in 0..1, a row a sample.
    """

    def __init__(self, table: npt.NDArray[np.float64]) -> None:
        self._table, self._used = table, 0

    @classmethod
    def of(cls, seed: int, iteration: int, samples: int, mine: slice) -> Draws:
        """Those of one iteration of a run: drawn for all ``samples``, kept for ``mine``."""
        return cls(np.random.default_rng((seed, 3, iteration)).random((samples, A_SAMPLE))[mine])

    def _take(self, columns: int) -> npt.NDArray[np.float64]:
        self._used += columns
        if self._used > self._table.shape[1]:
            raise IndexError(f"{self._used} numbers asked of {self._table.shape[1]} a sample")
        return self._table[:, self._used - columns : self._used]

    def uniform(self, low: float, high: float) -> Floats:
        """(N,) in low..high."""
        return np.asarray(low + self._take(1)[:, 0] * (high - low), np.float32)

    def uniforms(self, low: float, high: float, columns: int) -> Floats:
        """(N, columns) in low..high."""
        return np.asarray(low + self._take(columns) * (high - low), np.float32)

    def yes(self, probability: float | Floats) -> Bools:
        """(N,) of bool; the probability may differ by sample."""
        return np.asarray(self._take(1)[:, 0] < probability, np.bool_)
