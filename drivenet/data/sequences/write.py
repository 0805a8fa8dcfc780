"""Writes sequences in Cityscapes' layout, for sets of one's own and for tests of tools that read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.data.cityscapes import EVALUATED, IMAGE_SUFFIX, INSTANCE_SUFFIX, LABEL_ID_SUFFIX
from drivenet.data.flow_files import write_flo
from drivenet.data.panoptic_files import write_instance_ids
from drivenet.data.sequences.base import FrameSequence
from drivenet.data.sequences.cityscapes import BEFORE


def write_cityscapes_video(root: Path, split: str, cities: Sequence[tuple[str, Sequence[FrameSequence]]]) -> None:
    """Write ``leftImg8bit_sequence`` and ``gtFine`` with label ids and instance ids, and ``flow`` where it is known.

    Args:
        root: of the layout.
        split: ``train``, ``val`` or ``test``.
        cities: by name their sequences in Cityscapes' train ids, of 30 frames of which the 20th has truth.
    """
    for city, sequences in cities:
        frames, truths, flows = (
            root / part / split / city for part in ("leftImg8bit_sequence", "gtFine", "flow")
        )  # fmt: skip
        for folder in (frames, truths):
            folder.mkdir(parents=True, exist_ok=True)
        for number, sequence in enumerate(sequences):
            for i, image in enumerate(sequence.frames()):
                name = f"{city}_{number:06d}_{i:06d}"
                _write(frames / f"{name}{IMAGE_SUFFIX}", image)
                if i and (known := sequence.flow(i)) is not None:
                    flows.mkdir(parents=True, exist_ok=True)
                    (flows / f"{name}.flo").write_bytes(write_flo(*known))
            name, truth = f"{city}_{number:06d}_{BEFORE:06d}", sequence.truth(BEFORE)
            _write(truths / f"{name}{LABEL_ID_SUFFIX}", label_ids(truth.ids))
            instances = truth.ids * 0 if truth.instances is None else truth.instances
            write_instance_ids(truths / f"{name}{INSTANCE_SUFFIX}", truth.ids, instances)


def label_ids(ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cityscapes' label ids of train ids, (H, W) uint8; 0, unlabelled, of 255."""
    table = np.zeros(256, np.uint8)
    table[: len(EVALUATED)] = EVALUATED
    return table[ids]


def _write(file: Path, image: npt.NDArray[np.integer]) -> None:
    file.write_bytes(cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
