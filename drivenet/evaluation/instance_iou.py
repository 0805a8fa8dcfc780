"""iIoU: the IoU of a class with every thing weighing alike, whatever its size (Cordts et al. 2016)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.labels import LabelSet
from drivenet.metrics import ConfusionMatrix

#: Mean pixels of a thing in Cityscapes' training set (cityscapesScripts ``evalPixelLevelSemanticLabeling.py``).
AVERAGE_PIXELS = {
    "bicycle": 4672.3249222261, "motorcycle": 6298.7200839748, "rider": 3930.4788056518, "bus": 35732.1511111111,
    "train": 67583.7075812274, "car": 12794.0202738185, "person": 3462.4756337644, "truck": 27855.1264367816,
}  # fmt: skip


@dataclass
class InstanceIoU:
    """Weighted counts over images; two add up.

    Args:
        labels: the classes.
        things: those that are counted, of :data:`AVERAGE_PIXELS`.
        counts: (n, 2) by class: true positives and false negatives, each pixel weighing as much as the mean size of
            its class by the size of its thing.
    """

    labels: LabelSet
    things: tuple[str, ...]
    counts: npt.NDArray[np.float64]

    @classmethod
    def empty(cls, labels: LabelSet, things: tuple[str, ...]) -> InstanceIoU:
        """Nothing counted; classes without a known mean size are left out."""
        return cls(labels, tuple(name for name in things if name in AVERAGE_PIXELS), np.zeros((len(labels), 2)))

    def __add__(self, other: InstanceIoU) -> InstanceIoU:
        return InstanceIoU(self.labels, self.things, self.counts + other.counts)

    def add(self, truth: Ids, instances: npt.NDArray[np.integer], predicted: Ids) -> None:
        """Count the things of one image, all (H, W); instance 0 is no single thing."""
        for name in self.things:
            class_id = self.labels.id_of(name)
            mask = (truth == class_id) & (instances > 0)
            _, of, sizes = np.unique(instances[mask], return_inverse=True, return_counts=True)
            right = np.bincount(of[predicted[mask] == class_id], minlength=len(sizes))
            weights = AVERAGE_PIXELS[name] / sizes
            self.counts[class_id] += (right * weights).sum(), ((sizes - right) * weights).sum()

    def iou(self, matrix: ConfusionMatrix) -> dict[str, float]:
        """By class; false positives are the pixels of other true classes in the matrix. NaN for what does not occur."""
        out = {}
        for name in self.things:
            i = self.labels.id_of(name)
            tp, fn = self.counts[i]
            fp = int(matrix.counts[:, i].sum() - matrix.counts[i, i])
            out[name] = float(tp / (tp + fn + fp)) if tp + fn + fp else float("nan")
        return out

    def mean(self, matrix: ConfusionMatrix) -> float:
        """Mean over the classes that occur; NaN if none does."""
        values = [v for v in self.iou(matrix).values() if not math.isnan(v)]
        return sum(values) / len(values) if values else float("nan")
