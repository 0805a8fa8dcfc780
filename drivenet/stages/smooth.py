"""Temporal smoothing: class ids by a decayed vote along the motion of the picture."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.frame import Image
from drivenet.prepare import prepare
from drivenet.record import Record
from drivenet.stages.base import Stage

#: What a vote keeps of its weight from frame to frame: the more, the calmer and the later.
DECAY = 0.6
#: Brightness (0..255) may differ this much along the motion; more is something else, and has no vote yet.
BRIGHTNESS = 24

Weights = npt.NDArray[np.float32]


class Smooth(Stage):
    """Makes ids change only where several frames agree.

    Every pixel carries a class and the weight of its votes. Dense optical flow (DIS, Kroeger et al., ECCV 2016) carries
    both from the frame before; there a vote for the same class adds one to the decayed weight, another class takes one
    away, and wins where that leaves less than nothing (a majority vote in one pass, Boyer and Moore 1981, with decay).
    What came into view, or does not look as before, begins with its own class. With the default decay a class that is
    established gives way to another one after two frames.

    Args:
        decay: 0 (off) to below 1.
    """

    name = "smooth"

    def __init__(self, decay: float = DECAY) -> None:
        self._decay = decay
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_ULTRAFAST)
        self._before: tuple[Image, Ids, Weights] | None = None

    def reset(self) -> None:
        """Forget all votes."""
        self._before = None

    def __call__(self, record: Record) -> Record:
        """Replace the class map."""
        ids = record.classmap.ids
        small = prepare(record.frame, (ids.shape[0], ids.shape[1]))
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        voted, weights = self._vote(grey, ids)
        self._before = grey, voted, weights
        return record.with_ids(voted)

    def _vote(self, grey: Image, ids: Ids) -> tuple[Ids, Weights]:
        """Ids and weights after this frame's votes, both (H, W)."""
        if self._before is None or self._before[0].shape != grey.shape:
            return ids, np.ones(ids.shape, np.float32)
        carried, weights = self._carried(grey)
        agrees = carried == ids
        weights = weights * np.float32(self._decay) + np.where(agrees, np.float32(1), np.float32(-1))
        loses = weights < 0
        return np.where(loses, ids, carried), np.where(loses, np.float32(1), weights)

    def _carried(self, grey: Image) -> tuple[Ids, Weights]:
        """Ids and weights of the frame before, moved to where they are in this one; without weight where unsure."""
        assert self._before is not None
        before, ids, weights = self._before
        flow = np.asarray(self._flow.calc(grey, before, None), np.float32)  # type: ignore[call-overload]
        y, x = np.mgrid[0 : grey.shape[0], 0 : grey.shape[1]].astype(np.float32)
        x, y = x + flow[..., 0], y + flow[..., 1]
        looked = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        moved = np.asarray(cv2.remap(ids, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE), np.uint8)
        weight = cv2.remap(weights, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        return moved, np.where(cv2.absdiff(looked, grey) > BRIGHTNESS, np.float32(0), weight)
