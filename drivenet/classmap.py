"""The per-pixel class ids that an engine found in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivenet.errors import EngineError
from drivenet.frame import frozen

Ids = npt.NDArray[np.uint8]
#: How sure an engine is of each pixel's class: 255 times the probability that it gives that class.
Confidence = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ThingMaps:
    """What an engine found of single things, on a grid that is coarser than the class map.

    Args:
        centres: (h, w) uint8, 255 times how sure it is that the centre of a thing is there; 0 but at peaks.
        offsets: (2, h, w) uint8, rows and columns to the centre of the own thing, 128 for none.
        window: top, left, height and width, in cells, of what the class map shows; None for all of the grid.
    """

    centres: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.uint8]
    window: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Class ids at the model's output size; whoever needs another size resizes (nearest).

    Args:
        ids: (H', W') uint8 class ids, held read-only.
        index: the index of the frame they belong to.
        captured_ns: the capture time of that frame.

    Raises:
        EngineError: if ``ids`` is not a two-dimensional uint8 array.
    """

    ids: Ids
    index: int
    captured_ns: int

    def __post_init__(self) -> None:
        if self.ids.dtype != np.uint8 or self.ids.ndim != 2:
            raise EngineError(f"class map {self.index} is {self.ids.dtype} {self.ids.shape}", "uint8 ids of shape HxW")
        object.__setattr__(self, "ids", frozen(self.ids))

    def __repr__(self) -> str:
        h, w = self.ids.shape
        return f"ClassMap(index={self.index}, {w}x{h} uint8, captured_ns={self.captured_ns})"
