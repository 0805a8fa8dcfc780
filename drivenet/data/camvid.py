"""CamVid in the SegNet split: ``ROOT/train/*.png`` with ``ROOT/trainannot/*.png``, likewise val and test."""

from __future__ import annotations

from pathlib import Path

from drivenet.data.base import Dataset
from drivenet.data.pairs import Pair, PairDataset, class_ids, match, need_folder
from drivenet.labels import CAMVID, LabelSet
from drivenet.picture_files import list_files

VOID = 11


def open_camvid(root: Path | None, split: str, labels: LabelSet | None = None) -> Dataset:
    """Pictures with the 11 classes of the SegNet split; void is ignored.

    Args:
        root: the folder with ``train``, ``trainannot`` and so on.
        split: ``train``, ``val`` or ``test``.
        labels: not used; ``open_dataset`` refuses others than its own.

    Raises:
        SourceError: if a folder or file is missing.
    """
    layout = f"CamVid in the SegNet split: {split}/*.png and {split}annot/*.png"
    folder = need_folder(need_folder(Path(root or "."), layout) / split, layout)
    annotations = need_folder(folder.with_name(f"{split}annot"), layout)
    images, truths = ({f.name: f for f in list_files(d, (".png",))} for d in (folder, annotations))
    values = class_ids(CAMVID, VOID)
    pairs = [Pair(image, label, values) for image, label in match(images, truths, str(folder), layout)]
    return PairDataset("camvid", split, CAMVID, pairs)
