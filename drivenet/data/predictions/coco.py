"""Predictions as COCO panoptic files, and as COCO instances in run lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.data.panoptic_files import CocoPanopticWriter
from drivenet.data.predictions.base import Prediction, PredictionWriter
from drivenet.errors import SinkError
from drivenet.labels import LabelSet
from drivenet.panoptic import segments, thing_table


class CocoPanopticFiles(PredictionWriter):
    """``panoptic.json`` with ``panoptic/NAME.png``."""

    def __init__(self, folder: Path, labels: LabelSet, things: tuple[str, ...]) -> None:
        super().__init__(folder, labels, things)
        self._writer = CocoPanopticWriter(folder / "panoptic.json", labels, things)
        self._table = thing_table(labels, things)

    def add(self, prediction: Prediction) -> None:
        """Write one frame."""
        try:
            self._writer.add(prediction.name, segments(prediction.of_things, prediction.instances, self._table))
        except OSError as error:
            raise SinkError(f"cannot write to {self.folder}: {error.strerror or error}", "a writable folder") from error

    def close(self) -> None:
        """Write the JSON."""
        self.write("panoptic.json", self._writer.json())


class CocoInstances(PredictionWriter):
    """``instances.json``: a COCO data set whose annotations are things in run lengths, and their boxes."""

    def __init__(self, folder: Path, labels: LabelSet, things: tuple[str, ...]) -> None:
        super().__init__(folder, labels, things)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, prediction: Prediction) -> None:
        """Add the things of one frame."""
        height, width = prediction.ids.shape
        image = len(self._images) + 1
        self._images.append({"id": image, "file_name": f"{prediction.name}.png", "width": width, "height": height})
        for name in self.things:
            class_id = self.labels.id_of(name)
            mask = prediction.of_things == class_id
            for number in np.unique(prediction.instances[mask & (prediction.instances > 0)]).tolist():
                self._annotations.append(self._annotation(image, class_id, mask & (prediction.instances == number)))

    def close(self) -> None:
        """Write the JSON."""
        categories = [{"id": self.labels.id_of(name), "name": name, "supercategory": self.labels.groups[name]}
                      for name in self.things]  # fmt: skip
        self.write("instances.json", json.dumps(
            {"images": self._images, "annotations": self._annotations, "categories": categories}
        ))  # fmt: skip

    def _annotation(self, image: int, class_id: int, mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
        return {
            "id": len(self._annotations) + 1, "image_id": image, "category_id": class_id, "iscrowd": 0, "score": 1.0,
            "area": int(mask.sum()), "bbox": list(map(int, cv2.boundingRect(mask.astype(np.uint8)))),
            "segmentation": run_lengths(mask),
        }  # fmt: skip


def run_lengths(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's uncompressed run lengths of a mask (H, W): column by column, how many 0, then 1, and so on.

    >>> run_lengths(np.array([[False, True], [True, True]]))
    {'size': [2, 2], 'counts': [1, 3]}
    """
    flat = mask.ravel(order="F").astype(np.int8)
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends.tolist(), flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}
