"""Predictions as PNG files: Cityscapes' label ids, KITTI-STEP's panoptic maps, CVAT's segmentation masks."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np

from drivenet.data.cityscapes import EVALUATED
from drivenet.data.predictions.base import Prediction, PredictionWriter, png
from drivenet.errors import UsageError
from drivenet.labels import CITYSCAPES, LabelSet, Rgb

#: What CVAT's masks have where there is no class.
NO_CLASS: Rgb = (0, 0, 0)


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
    """``masks.zip`` for CVAT's import as "Segmentation mask 1.1": colours of classes, and of things.

    CVAT finds the frame of a mask by its name: a frame's is its path below the folder that holds them all.
    """

    def __init__(self, folder: Path, labels: LabelSet, things: tuple[str, ...]) -> None:
        super().__init__(folder, labels, things)
        self._frames: dict[Path, dict[str, bytes]] = {}

    def add(self, prediction: Prediction) -> None:
        """Add one frame."""
        # an object is a class's part or a thing: each has a colour of its own in the second image
        keys = prediction.of_things.astype(np.int64) << 16 | np.where(
            prediction.of_things < 255, prediction.instances, 0
        )
        _, objects = np.unique(np.where(prediction.of_things < 255, keys + 1, 0), return_inverse=True)
        objects = objects.reshape(prediction.of_things.shape) + (prediction.of_things < 255).all()
        self._frames[Path(os.path.abspath(prediction.place or prediction.name))] = {
            "Class": png(self.labels.bgr_table[prediction.of_things]), "Object": png(voc_colours(objects))
        }  # fmt: skip

    def close(self) -> None:
        """Write the archive with its label map and list of images."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            self._fill(archive)
        self.write("masks.zip", content.getvalue())

    def _fill(self, archive: zipfile.ZipFile) -> None:
        common = os.path.commonpath([place.parent for place in self._frames]) if self._frames else ""
        names = {place.relative_to(common).as_posix(): images for place, images in self._frames.items()}
        for name, images in names.items():
            for kind, image in images.items():
                archive.writestr(f"Segmentation{kind}/{name}.png", image)
        rows = [f"{name}:{','.join(map(str, colour))}::" for name, colour in self._colours()]
        rows.insert(0, "# label:color_rgb:parts:actions")
        archive.writestr("labelmap.txt", "\n".join(rows) + "\n")
        archive.writestr("ImageSets/Segmentation/default.txt", "".join(f"{name}\n" for name in names))

    def _colours(self) -> list[tuple[str, Rgb]]:
        """The classes, after what has none: readers refuse a name, and confuse a colour, that is there twice."""
        classes, names = list(zip(self.labels.classes, self.labels.palette, strict=True)), ("background", "void")
        none = next((name for name in names if name not in self.labels.classes), "no class")
        return classes if NO_CLASS in self.labels.palette else [(none, NO_CLASS), *classes]


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
