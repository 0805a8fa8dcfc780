"""Labelled pictures for evaluation, by name: ``open_dataset``. No PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import WithJsonSchema

from drivenet.config_texts import one_of
from drivenet.data.base import Dataset
from drivenet.data.lookup import SPLITS as SPLITS
from drivenet.data.lookup import opener_of
from drivenet.errors import UsageError
from drivenet.labels import LabelSet

#: Where each dataset lives: ``module:function``. The function takes (root, split, labels).
DATASETS = {
    "camvid": "drivenet.data.camvid:open_camvid",
    "cityscapes": "drivenet.data.cityscapes:open_cityscapes",
    "folder": "drivenet.data.folder:open_folder",
    "iddlite": "drivenet.data.iddlite:open_iddlite",
    "synthetic": "drivenet.data.synthetic:open_synthetic",
}
#: Those that need no root folder.
ROOTLESS = ("synthetic",)
#: Those that do not say what their ids mean: a label set is given with them.
WITHOUT_LABEL_SET = ("folder",)

#: A data set in settings.
DatasetName = Annotated[str, one_of(DATASETS), WithJsonSchema({"enum": sorted(DATASETS), "type": "string"})]


def open_dataset(name: str, root: Path | None, split: str, labels: LabelSet | None = None) -> Dataset:
    """A split of a dataset.

    Args:
        name: one of :data:`DATASETS`.
        root: its folder, in the layout of its publishers; may be None for those in :data:`ROOTLESS`.
        split: one of :data:`SPLITS`.
        labels: what the ids of those in :data:`WITHOUT_LABEL_SET` mean; None or their own for the others. ``synthetic``
            is drawn in the classes of CamVid (None) or Cityscapes.

    Raises:
        UsageError: for an unknown name or split, a missing argument, or labels that the data set does not have.
        SourceError: for folders or files that are missing, or are not what the layout says.
    """
    dataset: Dataset = opener_of("dataset", DATASETS, ROOTLESS, name, root, split)(root, split, labels)
    if labels is not None and dataset.labels != labels:
        others = "|".join(WITHOUT_LABEL_SET)
        raise UsageError(f"labels {labels.name} for {name}", f"its own, {dataset.labels.name}, or none",
                         f"leave labels out; they say what the ids of {others} mean")  # fmt: skip
    return dataset
