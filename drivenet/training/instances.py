"""Single things as a network learns them: centre maps and offsets of instance maps, and the loss of both."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from drivenet.models.things_head import UNIT, Maps
from drivenet.things import UNSURE

#: What an offset error of one :data:`~drivenet.models.things_head.UNIT` costs, beside the centre loss.
OFFSET_WEIGHT = 2.0
#: The widest peak of the centre map that is learnt, in cells (standard deviation).
WIDEST = 3.5

Instances = npt.NDArray[np.integer]


class Targets(NamedTuple):
    """Truth of a batch on the cells of the head.

    Args:
        heat: (N, 1, h, w) 0..1, 1 at centres.
        offsets: (N, 2, h, w) rows and columns to the own centre, in cells.
        sure: (N, 1, h, w) 1 where a thing with a sure id is.
        counted: (N, 1, h, w) 0 where things are whose ids are not sure.
    """

    heat: torch.Tensor
    offsets: torch.Tensor
    sure: torch.Tensor
    counted: torch.Tensor


def targets(instances: Instances, cells: tuple[int, int]) -> Targets:
    """Centre map and offsets of one instance map.

    Args:
        instances: (H, W), 0 no thing, :data:`UNSURE` to be left out, others the things.
        cells: (h, w), by whole numbers smaller.
    """
    small = cv2.resize(instances.astype(np.float32), cells[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(
        np.int64
    )
    rows, columns = np.mgrid[: cells[0], : cells[1]].astype(np.float32)
    step = instances.shape[0] / cells[0], instances.shape[1] / cells[1]
    heat, offsets = np.zeros(cells, np.float32), np.zeros((2, *cells), np.float32)
    for thing in np.setdiff1d(np.unique(instances), (0, UNSURE)):
        y, x = np.nonzero(instances == thing)
        cy, cx = (y.mean() + 0.5) / step[0] - 0.5, (x.mean() + 0.5) / step[1] - 0.5
        sigma = min(WIDEST, 0.6 + 0.12 * float(np.sqrt(len(y) / (step[0] * step[1]))))
        cy0, cx0 = round(cy), round(cx)
        np.maximum(heat, np.exp(-((rows - cy0) ** 2 + (columns - cx0) ** 2) / (2 * sigma**2)), out=heat)
        mask = small == thing
        offsets[0][mask], offsets[1][mask] = (cy - rows)[mask], (cx - columns)[mask]
    unsure = cv2.dilate((small == UNSURE).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    counted = ~unsure | (heat > 0.5)
    sure = (small > 0) & (small != UNSURE)
    maps = (heat[None], offsets, sure[None].astype(np.float32), counted[None].astype(np.float32))
    return Targets(*(torch.from_numpy(np.ascontiguousarray(m))[None] for m in maps))


def things_loss(maps: Maps, truth: Targets) -> torch.Tensor:
    """Focal loss of the centres (Zhou et al. 2019, CenterNet) and the absolute error of the offsets.

    Offsets are learnt from pixels of things with a sure id alone.
    """
    heat, found = truth.heat, maps.centres.float()
    positive = (heat == 1) * truth.counted
    probability = torch.sigmoid(found)
    hit = F.logsigmoid(found) * (1 - probability) ** 2 * positive
    miss = F.logsigmoid(-found) * probability**2 * (1 - heat) ** 4 * (1 - positive) * truth.counted
    centres = -(hit + miss).sum() / positive.sum().clamp_min(1)
    error = F.smooth_l1_loss(maps.offsets.float() / UNIT, truth.offsets / UNIT, beta=0.05, reduction="none")
    offsets = (error * truth.sure).sum() / truth.sure.sum().clamp_min(1)
    return centres + OFFSET_WEIGHT * offsets


def batch_loss(maps: Maps, instances: torch.Tensor) -> torch.Tensor:
    """:func:`things_loss` of a batch.

    Args:
        maps: what the head gave.
        instances: (N, H, W) whole numbers as :func:`targets` takes them.
    """
    cells = int(maps.centres.shape[2]), int(maps.centres.shape[3])
    truth = [targets(one, cells) for one in instances.numpy()]
    return things_loss(maps, Targets(*(torch.cat(part).to(maps.centres.device) for part in zip(*truth, strict=True))))


def numbered(instances: Instances) -> npt.NDArray[np.uint16]:
    """Instances as uint16: ids that are too large renumbered, -1 as :data:`UNSURE`; 8-bit ones keep their meaning."""
    if instances.dtype == np.uint8:
        return instances.astype(np.uint16)
    keys, of = np.unique(instances, return_inverse=True)
    numbers = np.cumsum(keys > 0)
    numbers = np.where(keys < 0, UNSURE, numbers + (numbers >= UNSURE))
    return np.asarray(numbers.astype(np.uint16)[of].reshape(instances.shape))
