"""A dataset as seen otherwise: at another size, without the fringes of a class, with single things."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.data.base import Dataset, Sample
from drivenet.data.pairs import PairDataset
from drivenet.data.panoptic_files import read_instances, read_numbered_things
from drivenet.errors import SourceError, SourceNotFoundError
from drivenet.labels import IGNORE_ID
from drivenet.prepare import prepare, resize_ids

#: What lies in no square of this many pixels of its class is a fringe.
_SQUARE = np.ones((3, 3), np.uint8)


class View(Dataset):
    """A dataset whose samples are changed when they are read."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.name, self.split, self.labels = dataset.name, dataset.split, dataset.labels

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self.change(self.dataset[index])

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of the whole."""
        return self.dataset.files

    def change(self, sample: Sample) -> Sample:
        """The sample as it is seen."""
        raise NotImplementedError


class Part(View):
    """Some of a dataset's samples.

    Args:
        dataset: the whole.
        split: what the part is called.
        indices: of the samples, in the whole.
    """

    def __init__(self, dataset: Dataset, split: str, indices: Sequence[int]) -> None:
        super().__init__(dataset)
        self.split, self.indices = split, tuple(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]


class WithInstances(View):
    """Single things from files beside those of the dataset.

    Args:
        dataset: of any layout.
        folder: 8-bit PNG of the pictures' stems: 0 no thing, 1..254 a thing, 255 not known.

    Raises:
        SourceError: if there is no such folder; when a sample is read, for a file that is missing or does not fit.
    """

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        super().__init__(dataset)
        if not folder.is_dir():
            raise SourceNotFoundError(f"no folder {folder} of instances", "8-bit PNG named as the images")
        self.folder = folder

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of the dataset, and of the folder."""
        return (*self.dataset.files, *sorted(self.folder.glob("*.png")))

    def change(self, sample: Sample) -> Sample:
        """The same picture with its things."""
        return replace(sample, instances=beside(self.folder, sample))


class _Numbered(View):
    """The pictures of Cityscapes with the things of their ``instanceIds``, as far as there are such files."""

    dataset: PairDataset

    def __getitem__(self, index: int) -> Sample:
        sample, file = self.dataset[index], self.dataset.pairs[index].instances
        return sample if file is None else replace(sample, instances=read_numbered_things(file))


def with_things(dataset: Dataset) -> Dataset:
    """The same samples with single things where files of the dataset tell them, which takes longer to read."""
    if isinstance(dataset, WithInstances):  # what is named counts, and the dataset's own files need not be read
        return dataset
    if isinstance(dataset, View):
        twin = copy(dataset)
        twin.dataset = with_things(dataset.dataset)
        return twin
    has_them = isinstance(dataset, PairDataset) and any(pair.instances for pair in dataset.pairs)
    return _Numbered(dataset) if has_them else dataset


def beside(folder: Path, sample: Sample) -> Ids:
    """More labels of a picture: the PNG of its stem, (H, W) uint8.

    Raises:
        SourceError: if it is missing, no such PNG, or of another size.
    """
    found = read_instances(folder / f"{Path(sample.name).stem}.png")
    if found.shape != sample.ids.shape:
        raise SourceError(f"{folder}: {sample.name} is {found.shape}", f"{sample.ids.shape}, as its label")
    return found


class Resized(View):
    """Pictures (as :func:`prepare`), ids and instances (nearest) at one size.

    Args:
        dataset: of any sizes.
        size: (height, width).
    """

    def __init__(self, dataset: Dataset, size: tuple[int, int]) -> None:
        super().__init__(dataset)
        self.size = size

    def change(self, sample: Sample) -> Sample:
        """All at :attr:`size`."""
        image, ids = prepare(sample.image, self.size), resize_ids(sample.ids, self.size)
        instances = None if sample.instances is None else _nearest(sample.instances, self.size)
        return replace(sample, image=image, ids=ids, instances=instances)


class WithoutFringes(View):
    """Pixels of some classes that lie in no 3x3 square of their class have no truth.

    Labels that were decoded from colours have rims one or two pixels thin where two colours mix to a third: the dark
    blue of a truck around every car of ``cityscapes256``.

    Args:
        dataset: whose ids are cleaned.
        classes: names of the classes whose fringes are left out.

    Raises:
        UsageError: for a class that the dataset does not have.
    """

    def __init__(self, dataset: Dataset, classes: Sequence[str]) -> None:
        super().__init__(dataset)
        self.classes = tuple(dataset.labels.id_of(name) for name in classes)

    def change(self, sample: Sample) -> Sample:
        """The same picture with cleaned ids."""
        return replace(sample, ids=without_fringes(sample.ids, self.classes))


def _nearest(instances: npt.NDArray[np.integer], size: tuple[int, int]) -> npt.NDArray[np.integer]:
    """Instances at another size, as :func:`~drivenet.prepare.resize_ids` takes ids; 8-bit ones keep their meaning."""
    numbers = instances if instances.dtype == np.uint8 else instances.astype(np.int32)
    return np.asarray(cv2.resize(numbers, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT), numbers.dtype)


def without_fringes(ids: Ids, classes: Sequence[int]) -> Ids:
    """Ids (H, W) uint8 with 255 where one of the classes does not survive an opening by a 3x3 square."""
    out: Ids = ids.copy()
    for i in classes:
        mask = (ids == i).astype(np.uint8)
        out[(mask > 0) & (cv2.morphologyEx(mask, cv2.MORPH_OPEN, _SQUARE) == 0)] = IGNORE_ID
    return out
