"""IDD-Lite as a plain folder: ``ROOT/SPLIT/images/*`` and ``ROOT/SPLIT/labels/*.png`` of the same stems."""

from __future__ import annotations

from pathlib import Path

from drivenet.data.base import Dataset
from drivenet.data.folder import open_folder
from drivenet.labels import IDDLITE, LabelSet


def open_iddlite(root: Path | None, split: str, labels: LabelSet | None = None) -> Dataset:
    """Pictures with the seven classes of IDD-Lite, 255 ignored.

    Args:
        root: the folder with ``train/images`` and ``train/labels``, likewise val.
        split: ``train``, ``val`` or ``test``.
        labels: not used; ``open_dataset`` refuses others than its own.

    Raises:
        SourceError: if a folder or file is missing.
    """
    return open_folder(root, split, IDDLITE, "iddlite")
