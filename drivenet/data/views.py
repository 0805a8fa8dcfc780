"""A dataset as seen otherwise: at another size, or without the fringes of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.data.base import Dataset, Sample
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
