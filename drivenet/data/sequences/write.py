"""Writes sequences in Cityscapes' layout, for sets of one's own and for tests of tools that read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.data.cityscapes import EVALUATED, IMAGE_SUFFIX, LABEL_ID_SUFFIX
from drivenet.data.sequences.base import FrameSequence, Truth
from drivenet.data.sequences.cityscapes import BEFORE, INSTANCE_SUFFIX, THINGS
from drivenet.labels import CITYSCAPES

_THING_IDS = tuple(CITYSCAPES.id_of(name) for name in THINGS)


def write_cityscapes_video(root: Path, split: str, cities: Sequence[tuple[str, Sequence[FrameSequence]]]) -> None:
    """Write ``leftImg8bit_sequence`` and ``gtFine`` with label ids and instance ids.

    Args:
        root: of the layout.
        split: ``train``, ``val`` or ``test``.
        cities: by name their sequences in Cityscapes' train ids, of 30 frames of which the 20th has truth.
    """
    for city, sequences in cities:
        frames, truths = root / "leftImg8bit_sequence" / split / city, root / "gtFine" / split / city
        for folder in (frames, truths):
            folder.mkdir(parents=True, exist_ok=True)
        for number, sequence in enumerate(sequences):
            for i, image in enumerate(sequence.frames()):
                _write(frames / f"{city}_{number:06d}_{i:06d}{IMAGE_SUFFIX}", image)
            name, truth = f"{city}_{number:06d}_{BEFORE:06d}", sequence.truth(BEFORE)
            _write(truths / f"{name}{LABEL_ID_SUFFIX}", label_ids(truth.ids))
            _write(truths / f"{name}{INSTANCE_SUFFIX}", instance_ids(truth))


def label_ids(ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cityscapes' label ids of train ids, (H, W) uint8; 0, unlabelled, of 255."""
    table = np.zeros(256, np.uint8)
    table[: len(EVALUATED)] = EVALUATED
    return table[ids]


def instance_ids(truth: Truth) -> npt.NDArray[np.uint16]:
    """Cityscapes' instance ids, (H, W) uint16: label id * 1000 + number for each thing, the label id elsewhere."""
    labels = label_ids(truth.ids)
    out = labels.astype(np.uint16)
    if truth.instances is None:
        return out
    for class_id in _THING_IDS:
        mask = truth.ids == class_id
        for number, instance in enumerate(np.unique(truth.instances[mask & (truth.instances > 0)])):
            out[mask & (truth.instances == instance)] = EVALUATED[class_id] * 1000 + number
    return out


def _write(file: Path, image: npt.NDArray[np.integer]) -> None:
    file.write_bytes(cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
