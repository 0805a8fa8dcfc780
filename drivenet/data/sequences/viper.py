"""VIPER (Richter et al. 2017): ``SPLIT/img/SEQUENCE/*`` and ``SPLIT/cls/SEQUENCE/*.png``, in Cityscapes' classes."""

from __future__ import annotations

from pathlib import Path

from drivenet.data.pairs import LabelValues, need_folder
from drivenet.data.sequences.base import VideoSet
from drivenet.data.sequences.files import FileSequence, numbered, viper
from drivenet.errors import SourceError
from drivenet.labels import CITYSCAPES, IGNORE_ID
from drivenet.picture_files import list_files, list_folders

FPS = 15.0
#: VIPER's class ids 0..31 that are one of Cityscapes' classes; the others have no truth.
_CLASSES = {
    2: "sky", 3: "road", 4: "sidewalk", 6: "terrain", 7: "vegetation", 8: "vegetation", 9: "building", 11: "fence",
    13: "traffic light", 14: "traffic sign", 20: "person", 22: "bicycle", 23: "motorcycle", 24: "car", 25: "car",
    26: "bus", 27: "truck", 29: "train",
}  # fmt: skip
VIPER_IDS = LabelValues(
    {i: CITYSCAPES.id_of(_CLASSES[i]) if i in _CLASSES else IGNORE_ID for i in (*range(32), 255)},
    "VIPER's class ids 0..31",
)
THINGS = ("person", "car", "truck", "bus", "train", "motorcycle", "bicycle")


def open_viper(root: Path, split: str) -> VideoSet:
    """The sequences of a split, frames in order, with whatever frames have a label.

    Args:
        root: the folder with ``train`` or ``val``.
        split: ``train``, ``val`` or ``test``.

    Raises:
        SourceError: if a folder is missing or no frame is labelled.
    """
    layout = f"VIPER: {split}/img/SEQUENCE/*.jpg and {split}/cls/SEQUENCE/*.png"
    top = need_folder(need_folder(root, layout) / split, layout)
    images, classes = need_folder(top / "img", layout), need_folder(top / "cls", layout)
    sequences, missing = [], []
    for folder in sorted(list_folders(images)):
        if not (classes / folder.name).is_dir():
            missing.append(f"no labels of {folder.name}")
            continue
        pictures = sorted(list_files(folder), key=numbered)
        truths, things = (_by_stem(top / kind / folder.name) for kind in ("cls", "inst"))
        labels = {i: viper(truths[f.stem], VIPER_IDS, things.get(f.stem))
                  for i, f in enumerate(pictures) if f.stem in truths}  # fmt: skip
        sequences.append(FileSequence(folder.name, folder.name, pictures, labels, FPS))
    if not any(s.labelled for s in sequences):
        raise SourceError(f"no labelled frame in {top}", layout)
    has_things = all(len(f.paths) > 1 for s in sequences for f in s.labels.values())
    return VideoSet("viper", split, CITYSCAPES, tuple(sequences), THINGS if has_things else (), tuple(missing))


def _by_stem(folder: Path) -> dict[str, Path]:
    return {f.stem: f for f in list_files(folder, (".png",))} if folder.is_dir() else {}
