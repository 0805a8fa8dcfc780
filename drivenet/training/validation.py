"""How good a network is on val, scored as it will be deployed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from drivenet.data.base import Sample
from drivenet.label_mapping import LabelMapping
from drivenet.metrics import ConfusionMatrix
from drivenet.models.deployed import OURS, Deployed, Normalisation
from drivenet.prepare import prepare, resize_ids
from drivenet.training.autocast import autocast
from drivenet.training.samples import Pictures

#: Pictures that a GPU takes at once.
AT_ONCE = 16

Prepared = tuple[torch.Tensor, torch.Tensor]  #: (1, H, W, 3) uint8 at the input's size, and (h, w) uint8 truth


class Validation:
    """The same resize as the node's, the same tail, ids resized to the truth, one confusion matrix.

    Args:
        samples: what is scored on. A list stays prepared on the device; others are read every time.
        mapping: from the labels of the samples to the network's classes.
        size: (height, width) of the network's input.
        device: where it is done.
        normalisation: that the networks take pictures with.
    """

    def __init__(
        self, samples: Pictures, mapping: LabelMapping, size: tuple[int, int], device: torch.device,
        normalisation: Normalisation = OURS,
    ) -> None:  # fmt: skip
        self.samples, self.labels, self.size, self.device = samples, mapping.dataset, size, device
        self._table = torch.from_numpy(mapping.to_dataset.clip(max=len(self.labels))).to(device)
        self._truth, self._normalisation = mapping.truth, normalisation
        self._kept: list[Prepared] | None = None

    def _prepare(self, sample: Sample) -> Prepared:
        frame = torch.from_numpy(prepare(sample.image, self.size))[None]
        return frame.to(self.device), torch.from_numpy(self._truth[sample.ids]).to(self.device)

    def _prepared(self) -> Iterator[Prepared]:
        if not isinstance(self.samples, list):
            return (self._prepare(s) for s in self.samples)
        if self._kept is None:
            self._kept = [self._prepare(s) for s in self.samples]
        return iter(self._kept)

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> ConfusionMatrix:
        """Score a network in the classes of the samples that it can tell; what it gives none of them is wrong."""
        deployed = Deployed(network, "half", *self._normalisation).to(self.device).eval()
        n = len(self.labels) + 1  # the last one: what no class of the samples is
        counts = torch.zeros(n * n, dtype=torch.int64, device=self.device)
        for frames, truths in self._batches():
            with autocast(self.device):
                found = self._table[deployed(frames).long()]
            for ids, truth in zip(found, truths, strict=True):
                counts += _count(ids, truth, n)
        square = counts.view(n, n)[:-1].cpu().numpy()
        return ConfusionMatrix(self.labels, square[:, :-1].copy(), square[:, -1].copy())

    def _batches(self) -> Iterator[tuple[torch.Tensor, list[torch.Tensor]]]:
        waiting: list[Prepared] = []
        at_once = AT_ONCE if self.device.type == "cuda" else 1
        for pair in self._prepared():
            waiting.append(pair)
            if len(waiting) == at_once:
                yield torch.cat([frame for frame, _ in waiting]), [truth for _, truth in waiting]
                waiting = []
        if waiting:
            yield torch.cat([frame for frame, _ in waiting]), [truth for _, truth in waiting]


def _count(found: torch.Tensor, truth: torch.Tensor, classes: int) -> torch.Tensor:
    """(classes * classes,) pixels by truth and class found; resized as :func:`~drivenet.prepare.resize_ids` does."""
    rows, columns = (_nearest(int(n), int(to), found.device) for n, to in zip(found.shape, truth.shape, strict=True))
    resized = found[rows][:, columns].long()
    # What is ignored is counted in a row of its own: picking pixels out would wait for the device.
    row = truth.long().clamp(max=classes)
    return torch.bincount((row * classes + resized).flatten(), minlength=(classes + 1) * classes)[: classes * classes]


@lru_cache(maxsize=64)
def _nearest(pixels: int, wanted: int, device: torch.device) -> torch.Tensor:
    """Of ``wanted`` pixels, the one each is nearest to. Not torch's own: it takes others where two are equally near."""
    parts = np.divmod(np.arange(pixels), 256)  # ids are bytes
    high, low = (resize_ids(part.astype(np.uint8)[None], (1, wanted))[0].astype(np.int64) for part in parts)
    return torch.from_numpy(high * 256 + low).to(device)
