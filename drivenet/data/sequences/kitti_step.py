"""KITTI-STEP: ``image_02/SEQUENCE/*.png`` and ``panoptic_maps/SPLIT/SEQUENCE/*.png``, every frame labelled."""

from __future__ import annotations

from pathlib import Path

from drivenet.data.cityscapes import TRAIN_IDS
from drivenet.data.pairs import need_folder
from drivenet.data.sequences.base import VideoSet
from drivenet.data.sequences.files import FileSequence, step_panoptic
from drivenet.errors import SourceError
from drivenet.labels import CITYSCAPES
from drivenet.picture_files import list_files, list_folders

FPS = 10.0
#: The classes with tracks (Weber et al. 2021).
THINGS = ("person", "car")


def open_kitti_step(root: Path, split: str) -> VideoSet:
    """The sequences of a split with Cityscapes' 19 classes, and tracks of people and cars.

    Args:
        root: the folder with ``panoptic_maps`` and, in it or in ``training`` or ``images/SPLIT``, ``image_02``.
        split: ``train`` or ``val``.

    Raises:
        SourceError: if a folder is missing or no sequence is whole.
    """
    layout = f"KITTI-STEP: image_02/SEQUENCE/*.png and panoptic_maps/{split}/SEQUENCE/*.png"
    truths = need_folder(need_folder(need_folder(root, layout) / "panoptic_maps", layout) / split, layout)
    places = [root / "image_02", root / "training" / "image_02", root / "images" / split]
    images = need_folder(next((place for place in places if place.is_dir()), places[0]), layout)
    sequences, missing = [], []
    for folder in sorted(list_folders(truths)):
        pictures = sorted(list_files(images / folder.name)) if (images / folder.name).is_dir() else []
        found = {f.stem: f for f in list_files(folder, (".png",))}
        labels = {i: step_panoptic(found[f.stem], TRAIN_IDS) for i, f in enumerate(pictures) if f.stem in found}
        if len(labels) < len(found) or not pictures:
            missing.append(f"{folder.name}: {len(found) - len(labels)} labels without an image")
        if labels:
            names = [f"{folder.name}_{f.stem}" for f in pictures]
            sequences.append(FileSequence(folder.name, folder.name, pictures, labels, FPS, names=names))
    if not sequences:
        raise SourceError(f"no labelled sequence in {truths}", layout)
    return VideoSet("kitti-step", split, CITYSCAPES, tuple(sequences), THINGS, tuple(missing))
