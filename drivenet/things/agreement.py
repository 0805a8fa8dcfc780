"""How far two instance maps of one picture agree: an engine against its reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivenet.things import InstanceMap

#: A thing of the reference is found again if another one has this IoU with it.
FOUND_AGAIN = 0.8
#: Smaller things of the reference, as fractions of the image, are not counted: 400 pixels of 960x540.
LEAST_AREA = 0.00077


@dataclass
class ThingAgreement:
    """Counts over images.

    Args:
        counted: things of the reference.
        found: those that were found again.
    """

    counted: int = 0
    found: int = 0

    def add(self, reference: InstanceMap, candidate: InstanceMap) -> None:
        """Count one image; both (H', W')."""
        joint = np.bincount(reference.ravel().astype(np.int64) * 256 + candidate.ravel(), minlength=1 << 16)
        joint = joint.reshape(256, 256)
        ours, theirs = joint.sum(1), joint.sum(0)
        rows = np.flatnonzero(ours[1:] >= max(1.0, LEAST_AREA * reference.size)) + 1
        common = joint[rows, 1:]
        iou = common / np.maximum(1, ours[rows, None] + theirs[None, 1:] - common)
        self.counted += len(rows)
        self.found += int(np.count_nonzero(iou.max(1, initial=0.0) >= FOUND_AGAIN))

    @property
    def share(self) -> float | None:
        """Of the counted things those found again, 0..1; None if none was counted."""
        return self.found / self.counted if self.counted else None
