"""Datasets of picture files beside label files, and the tables that turn stored label values into class ids."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.data.base import Dataset, Sample
from drivenet.data.lookup import SPLITS
from drivenet.decoding import decode, read_bytes, read_labelled
from drivenet.errors import SourceError, SourceNotFoundError
from drivenet.labels import IGNORE_ID, LabelSet
from drivenet.palette_png import decode_palette_png, png_format
from drivenet.picture_files import unreadable

#: How files begin whose format may store values other than it was given.
_LOSSY = {
    b"\xff\xd8": "a JPEG",
    b"RIFF": "a WebP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"GIF8": "a GIF",
    b"\0\0\0\x0cjP": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"\xff\x0a": "a JPEG XL",
}


@dataclass(frozen=True)
class LabelValues:
    """What the values in a label picture mean.

    Args:
        ids: class id (or 255, ignore) by stored value; other values are errors.
        meaning: the same for people, ``0..10 and 11 (void)``.
        cure: what to do about pictures with others.
    """

    ids: Mapping[int, int]
    meaning: str
    cure: str = "use label ids, not colours"

    @cached_property
    def _table(self) -> npt.NDArray[np.uint8]:
        table = np.full(256, IGNORE_ID, np.uint8)
        for value, class_id in self.ids.items():
            table[value] = class_id
        return table

    def to_ids(self, stored: Ids, where: str) -> Ids:
        """Class ids of a label picture (H, W) uint8; SourceError naming a value that means nothing."""
        present = np.flatnonzero(np.bincount(stored.ravel(), minlength=256))
        odd = [int(v) for v in present if int(v) not in self.ids]
        if odd:
            raise SourceError(f"{where} holds label value {odd[0]}", self.meaning, self.cure)
        ids: Ids = cv2.LUT(stored, self._table).astype(np.uint8, copy=False)
        return ids


@dataclass(frozen=True)
class Pair:
    """A picture file, its label file, what the values in that mean, and a Cityscapes ``instanceIds`` file if any."""

    image: Path
    label: Path
    values: LabelValues
    instances: Path | None = None


class PairDataset(Dataset):
    """A dataset of files, read when asked for.

    Args:
        name: of the dataset.
        split: of it.
        labels: what the ids mean.
        pairs: the files, in order.
    """

    def __init__(self, name: str, split: str, labels: LabelSet, pairs: Sequence[Pair]) -> None:
        self.name, self.split, self.labels, self.pairs = name, split, labels, tuple(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        pair = self.pairs[index]
        ids = pair.values.to_ids(read_label(pair.label), str(pair.label))
        image = read_labelled(pair.image, ids.shape[:2])
        if image.shape[:2] != ids.shape:
            told = f"{pair.label} of {ids.shape[1]}x{ids.shape[0]}"
            raise SourceError(
                told, f"{image.shape[1]}x{image.shape[0]}, as {pair.image.name}", "label the image itself"
            )
        return Sample(image, ids, pair.image.name)

    @property
    def files(self) -> tuple[Path, ...]:
        """Pictures and label files, of instances too."""
        return tuple(file for pair in self.pairs for file in (pair.image, pair.label, pair.instances) if file)

    def __repr__(self) -> str:
        return f"PairDataset({self.name} {self.split}, {len(self)} pictures, labels {self.labels.name})"


def class_ids(labels: LabelSet, void: int) -> LabelValues:
    """Stored values that are class ids already, and one that means void."""
    n = len(labels)
    return LabelValues({**{i: i for i in range(n)}, void: IGNORE_ID}, f"class ids 0..{n - 1} or {void} (void)")


def need_folder(folder: Path, layout: str) -> Path:
    """The folder.

    Raises:
        SourceNotFoundError: if there is none, saying the layout that was looked for.
        SourceError: if a folder above it may not be entered.
    """
    try:
        is_folder = folder.is_dir()
    except OSError as error:
        raise unreadable(folder, error) from None
    if not is_folder:
        raise SourceNotFoundError(f"no folder {folder}", layout, _instead(folder))
    return folder


def _instead(folder: Path) -> str:
    """The cure for a missing folder: another split where there is one, else another root."""
    by_split = folder.name in (*SPLITS, "images")
    there = [f"--split {split}" for split in SPLITS if by_split and os.path.isdir(folder.with_name(split))]
    return f"give {' or '.join(there)}, which is there" if there else "give --root the folder that holds these"


def match(
    images: Mapping[str, Path], labels: Mapping[str, Path], where: str, layout: str = "pictures with their labels"
) -> list[tuple[Path, Path]]:  # fmt: skip
    """Pictures and label files with equal keys, in the order of the keys; messages say the layout that is looked for.

    Raises:
        SourceError: if there are none, or one lacks its counterpart.
    """
    if not images and not labels:
        raise SourceError(f"no pictures in {where}", layout)
    for kind, alone in (("labels", images.keys() - labels.keys()), ("picture", labels.keys() - images.keys())):
        if alone:
            raise SourceError(
                f"{where} has no {kind} for {min(alone)} ({len(alone)} such)",
                f"{len(images.keys() | labels.keys())} pictures with their labels",
                "complete the download",
            )
    return [(images[key], labels[key]) for key in sorted(images)]


def read_label(file: Path) -> Ids:
    """A label picture as it is stored: grey values or, of a palette, numbers, (H, W) uint8.

    Raises:
        SourceError: if it is neither, or of less than 8 bits without a palette: readers differ in whether a 1 among
            two values means 1 or 255.
    """
    content = read_bytes(file)
    _check_lossless(content, file)
    numbers = decode_palette_png(content)
    if numbers is not None:
        return numbers
    stored, (bits, _) = decode(content, cv2.IMREAD_UNCHANGED), png_format(content)
    if stored is None:
        raise SourceError(f"{file} is no picture", "a whole PNG", "download it again")
    if stored.ndim != 2 or stored.dtype != np.uint8 or 0 < bits < 8:
        found = f"has a bit depth of {bits}" if 0 < bits < 8 else f"decodes to {stored.dtype} {stored.shape}"
        raise SourceError(
            f"{file} {found}", "8-bit grey values or numbers of a palette, one label a pixel", "save ids as 8-bit grey"
        )
    return np.asarray(stored, np.uint8)


def _check_lossless(content: bytes, file: Path) -> None:
    """Raise SourceError for a format that may change values: beside every edge there would be other classes."""
    kind = next((name for start, name in _LOSSY.items() if content.startswith(start)), "")
    if content[4:8] == b"ftyp":
        kind = "an AVIF or HEIC"
    if kind:
        what = f"{file} is {kind} inside, which may change label values"
        raise SourceError(what, "labels as PNG", "save the labels as PNG from where they were made")
