"""A plain pair of folders: ``ROOT/images/*`` and ``ROOT/labels/*.png``, or the same under ``ROOT/SPLIT``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from drivenet.data.base import Dataset
from drivenet.data.pairs import Pair, PairDataset, class_ids, match, need_folder
from drivenet.errors import SourceError, UsageError
from drivenet.labels import IGNORE_ID, LabelSet
from drivenet.picture_files import list_files

_CURE = "save void as 255, or give the --labels that these ids are of; colours are no ids"


def open_folder(
    root: Path | None, split: str, labels: LabelSet | None = None, dataset: str = "folder"
) -> Dataset:  # fmt: skip
    """Pictures with a label file of the same stem, whose grey values are class ids or 255 (ignored).

    Args:
        root: the folder with ``images`` and ``labels``; with ``SPLIT/images`` and ``SPLIT/labels`` if there are
            splits.
        split: ``train``, ``val`` or ``test``; the whole is one split, called ``all``, where there are none.
        labels: what the ids mean.
        dataset: how summaries name it.

    Raises:
        UsageError: without a label set.
        SourceError: if a folder or file is missing, or two pictures have one stem.
    """
    if labels is None:
        raise UsageError("no label set for a plain folder", "what its ids mean", "give --labels NAME or FILE.yaml")
    layout = f"images/* and labels/*.png, or {split}/images/* and {split}/labels/*.png"
    top = need_folder(Path(root or "."), layout)
    part, name = (top / split, split) if os.path.isdir(top / split) else (top, "all")
    pictures = list_files(need_folder(part / "images", layout))
    truths = _truths(need_folder(part / "labels", layout))
    images = {f.stem: f for f in pictures}
    if len(images) < len(pictures):
        raise SourceError(f"{part / 'images'} holds two pictures of one stem", "one picture a label file")
    values = replace(class_ids(labels, IGNORE_ID), cure=_CURE)
    pairs = [Pair(i, t, values) for i, t in match(images, truths, str(part), layout)]
    return PairDataset(dataset, name, labels, pairs)


def _truths(folder: Path) -> dict[str, Path]:
    """Label files by stem; SourceError where all that there are have another format."""
    found = list_files(folder, (".png",))
    if not found and (others := list_files(folder)):
        raise SourceError(f"{min(others)} is no PNG", "labels as PNG", "save the labels as PNG, with class ids")
    truths = {file.stem: file for file in found}
    if len(truths) < len(found):
        raise SourceError(f"{folder} holds two label files of one stem", "one label file a picture")
    return truths
