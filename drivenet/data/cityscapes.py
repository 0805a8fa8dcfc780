"""Cityscapes in its official layout: ``leftImg8bit/SPLIT/CITY/*.png`` and ``gtFine/SPLIT/CITY/*.png``."""

from __future__ import annotations

from pathlib import Path

from drivenet.data.base import Dataset
from drivenet.data.pairs import LabelValues, Pair, PairDataset, class_ids, match, need_folder
from drivenet.labels import CITYSCAPES, IGNORE_ID, LabelSet
from drivenet.picture_files import list_files, list_folders

IMAGE_SUFFIX = "_leftImg8bit.png"
TRAIN_ID_SUFFIX = "_gtFine_labelTrainIds.png"
INSTANCE_SUFFIX = "_gtFine_instanceIds.png"
LABEL_ID_SUFFIX = "_gtFine_labelIds.png"
#: The label ids 0..33 (cityscapesScripts ``labels.py``) that are train ids 0..18, in the order of the latter.
EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

TRAIN_IDS = class_ids(CITYSCAPES, IGNORE_ID)
LABEL_IDS = LabelValues(
    {**dict.fromkeys(range(34), IGNORE_ID), **{value: i for i, value in enumerate(EVALUATED)}},
    "Cityscapes label ids 0..33",
)


def open_cityscapes(root: Path | None, split: str, labels: LabelSet | None = None) -> Dataset:
    """Pictures with the 19 train ids. A ``labelTrainIds`` file is taken where there is one, else ``labelIds``; single
    things are those of ``instanceIds`` files, for :func:`drivenet.data.views.with_things`.

    Args:
        root: the folder with ``leftImg8bit`` and ``gtFine``.
        split: ``train``, ``val`` or ``test`` (whose public label files hold next to nothing).
        labels: not used; ``open_dataset`` refuses others than its own.

    Raises:
        SourceError: if a folder or file is missing.
    """
    layout = f"Cityscapes: leftImg8bit/{split}/CITY/*{IMAGE_SUFFIX} and gtFine/{split}/CITY/*{LABEL_ID_SUFFIX}"
    top = need_folder(Path(root or "."), layout)
    image_folder = need_folder(need_folder(top / "leftImg8bit", layout) / split, layout)
    truth_folder = need_folder(need_folder(top / "gtFine", layout) / split, layout)
    # The later suffix wins: train ids need no translation.
    truths = {**_by_key(truth_folder, LABEL_ID_SUFFIX), **_by_key(truth_folder, TRAIN_ID_SUFFIX)}
    files = match(_by_key(image_folder, IMAGE_SUFFIX), truths, str(top), layout)
    things = _by_key(truth_folder, INSTANCE_SUFFIX)
    pairs = [
        Pair(i, t, TRAIN_IDS if t.name.endswith(TRAIN_ID_SUFFIX) else LABEL_IDS, things.get(_key(i, IMAGE_SUFFIX)))
        for i, t in files
    ]
    return PairDataset("cityscapes", split, CITYSCAPES, pairs)


def _by_key(folder: Path, suffix: str) -> dict[str, Path]:
    """``CITY/aachen_000000_000019`` -> file, for the files with a suffix."""
    files = (file for city in list_folders(folder) for file in list_files(city, (".png",), ending=suffix))
    return {_key(file, suffix): file for file in files}


def _key(file: Path, suffix: str) -> str:
    return f"{file.parent.name}/{file.name.removesuffix(suffix)}"
