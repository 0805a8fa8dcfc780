"""Images with single things: 8-bit instance numbers beside the images of data sets that have class masks alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from drivenet.data.base import Sample
from drivenet.data.panoptic_files import read_instances
from drivenet.decoding import read_picture
from drivenet.errors import SourceError

#: Folders below the root: instance numbers, images.
FOLDERS = (
    ("instances/cityscapes256/train", "cityscapes256/train/images"),
    ("instances/camvid/train", "camvid/train"),
    ("instances/iddlite/train", "iddlite/train/images"),
)


class InstanceSamples(Sequence[Sample]):
    """Images with instances, read when asked for; ids are all 255, since they are not needed.

    Args:
        pairs: files of the image and of its instance numbers: 0 none, 1..254 a thing, 255 not sure.
    """

    def __init__(self, pairs: Sequence[tuple[Path, Path]]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, index: int, /) -> Sample: ...
    @overload
    def __getitem__(self, index: slice, /) -> InstanceSamples: ...
    def __getitem__(self, index: int | slice, /) -> Sample | InstanceSamples:
        if isinstance(index, slice):
            return InstanceSamples(self._pairs[index])
        image, numbers = self._pairs[index]
        instances = read_instances(numbers)
        return Sample(read_picture(image), np.full(instances.shape, 255, np.uint8), image.name, instances)


def instance_samples(root: Path, folders: Sequence[tuple[str, str]] = FOLDERS) -> InstanceSamples:
    """The images below a root that have instance numbers of the same stem.

    Raises:
        SourceError: if there are none.
    """
    pairs = []
    for numbers, images in folders:
        known = {file.stem: file for file in sorted((root / images).glob("*.*"))} if (root / images).is_dir() else {}
        pairs += [(known[file.stem], file) for file in sorted((root / numbers).glob("*.png")) if file.stem in known]
    if not pairs:
        raise SourceError(f"{root} holds no images with instances", f"folders such as {folders[0][0]}")
    return InstanceSamples(pairs)
