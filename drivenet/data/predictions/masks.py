"""Predictions as PNG files: Cityscapes' label ids, KITTI-STEP's panoptic maps, CVAT's segmentation masks."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from drivenet.data.cityscapes import EVALUATED
from drivenet.data.predictions.base import Prediction, PredictionWriter, png
from drivenet.errors import UsageError
from drivenet.labels import CITYSCAPES, LabelSet


class CityscapesMasks(PredictionWriter):
    """``CITY/NAME_pred_labelIds.png`` with label ids, where cityscapesScripts looks for them; 0 is no class."""

    def __init__(self, folder: Path, labels: LabelSet, things: tuple[str, ...]) -> None:
        super().__init__(folder, labels, things)
        _need_cityscapes(labels, "cityscapes")
        self._table = np.zeros(256, np.uint8)
        self._table[: len(EVALUATED)] = EVALUATED

    def add(self, prediction: Prediction) -> None:
        """Write one frame."""
        self.write(f"{prediction.group}/{prediction.name}_pred_labelIds.png", png(self._table[prediction.ids]))


class StepMasks(PredictionWriter):
    """``SEQUENCE/NUMBER.png``: red the class id, green * 256 + blue the id of the thing (Weber et al. 2021)."""

    lasting = True

    def __init__(self, folder: Path, labels: LabelSet, things: tuple[str, ...]) -> None:
        super().__init__(folder, labels, things)
        _need_cityscapes(labels, "step")

    def add(self, prediction: Prediction) -> None:
        """Write one frame; things of other classes than those that are counted have no id."""
        things = np.isin(prediction.of_things, [self.labels.id_of(name) for name in self.things])
        ids = np.where(things, prediction.instances, 0).astype(np.uint16)
        pixels = np.stack([ids & 255, ids >> 8, prediction.of_things.astype(np.uint16)], -1).astype(np.uint8)  # BGR
        number = prediction.name.removeprefix(f"{prediction.sequence}_")
        self.write(f"{prediction.sequence}/{number}.png", png(pixels))


class CvatMasks(PredictionWriter):
    """``masks.zip`` for CVAT's import as "Segmentation mask 1.1": colours of classes, and of things."""

    def __init__(self, folder: Path, labels: LabelSet, things: tuple[str, ...]) -> None:
        super().__init__(folder, labels, things)
        self._content = io.BytesIO()
        self._zip = zipfile.ZipFile(self._content, "w", zipfile.ZIP_DEFLATED)
        self._names: list[str] = []

    def add(self, prediction: Prediction) -> None:
        """Add one frame."""
        self._names.append(prediction.name)
        # an object is a class's part or a thing: each has a colour of its own in the second image
        keys = prediction.of_things.astype(np.int64) << 16 | np.where(
            prediction.of_things < 255, prediction.instances, 0
        )
        _, objects = np.unique(np.where(prediction.of_things < 255, keys + 1, 0), return_inverse=True)
        objects = objects.reshape(prediction.of_things.shape) + (prediction.of_things < 255).all()
        for folder, pixels in (
            ("Class", self.labels.bgr_table[prediction.of_things]),
            ("Object", voc_colours(objects)),
        ):
            self._zip.writestr(f"Segmentation{folder}/{prediction.name}.png", png(pixels))

    def close(self) -> None:
        """Write the archive with its label map and list of images."""
        rows = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
        rows += [f"{name}:{','.join(map(str, colour))}::" for name, colour in
                 zip(self.labels.classes, self.labels.palette, strict=True)]  # fmt: skip
        self._zip.writestr("labelmap.txt", "\n".join(rows) + "\n")
        self._zip.writestr("ImageSets/Segmentation/default.txt", "\n".join(self._names) + "\n")
        self._zip.close()
        self.write("masks.zip", self._content.getvalue())


def voc_colours(numbers: np.ndarray) -> np.ndarray:
    """BGR colours of numbers by the rule of Pascal VOC's development kit: bits of the number from the top down."""
    out = np.zeros((*numbers.shape, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            out[..., 2 - channel] |= ((numbers >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return out


def _need_cityscapes(labels: LabelSet, name: str) -> None:
    if labels.classes != CITYSCAPES.classes:
        raise UsageError(f"--format {name} of {labels.name}", "Cityscapes' 19 classes", "take coco-panoptic")
