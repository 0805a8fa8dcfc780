"""Sequences of image files with label files, and the encodings of instances in those."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.data.pairs import LabelValues, read_label
from drivenet.data.panoptic_files import read_numbered_things
from drivenet.data.sequences.base import FrameSequence, Truth
from drivenet.decoding import decode, read_bytes, read_labelled, read_picture
from drivenet.errors import SourceError
from drivenet.frame import Image
from drivenet.picture_size import stated_size


@dataclass(frozen=True)
class LabelFile:
    """Where the truth of a frame is.

    Args:
        read: gives it.
        paths: the files, for messages.
    """

    read: Callable[[], Truth]
    paths: tuple[Path, ...]


class FileSequence(FrameSequence):
    """Image files, read as they are asked for.

    Args:
        name, group: as of :class:`FrameSequence`.
        images: in order.
        labels: the truth by the number of the frame in ``images``.
        fps, consecutive: as of :class:`FrameSequence`.
        names: of the frames; the files' stems without it.
    """

    def __init__(self, name: str, group: str, images: Sequence[Path], labels: Mapping[int, LabelFile],
                 fps: float = 0.0, consecutive: bool = True, names: Sequence[str] | None = None) -> None:  # fmt: skip
        starts = list(itertools.accumulate(map(len, snippets(images))))[:-1]
        super().__init__(
            name, group, tuple(names or (f.stem for f in images)), tuple(sorted(labels)), fps, consecutive, starts
        )
        self.images, self.labels = tuple(images), dict(labels)

    @property
    def files(self) -> tuple[Path, ...]:
        """Images and label files."""
        return (*self.images, *(path for label in self.labels.values() for path in label.paths))

    def place(self, index: int) -> Path:
        """The image file without its suffix."""
        return self.images[index].with_suffix("")

    def frames(self) -> Iterator[Image]:
        """The images, read one by one; labelled ones in the orientation of their label."""
        return map(self._image, range(len(self)))

    def truth(self, index: int) -> Truth:
        """Ids, and instances where there are any; SourceError naming the file that is not right."""
        return self.labels[index].read()

    def _image(self, index: int) -> Image:
        file = self.images[index]
        size = stated_size(read_bytes(self.labels[index].paths[0])) if index in self.labels else None
        return read_picture(file) if size is None else read_labelled(file, size)


def semantic(file: Path, values: LabelValues) -> LabelFile:
    """A label file of class ids alone."""
    return LabelFile(lambda: Truth(values.to_ids(read_label(file), str(file))), (file,))


def with_instances(file: Path, values: LabelValues, instances: Path) -> LabelFile:
    """Cityscapes' pair: label ids, and ``instanceIds``; things of different classes have different numbers."""

    def read() -> Truth:
        ids = values.to_ids(read_label(file), str(file))
        return _both(ids, read_numbered_things(instances), instances)

    return LabelFile(read, (file, instances))


def step_panoptic(file: Path, values: LabelValues) -> LabelFile:
    """KITTI-STEP's PNG: red the class id, green * 256 + blue the id of the thing, 0 for none."""

    def read() -> Truth:
        red, green, blue = (channel.astype(np.int32) for channel in _rgb(file))
        return Truth(values.to_ids(red.astype(np.uint8), str(file)), green * 256 + blue)

    return LabelFile(read, (file,))


def viper(file: Path, values: LabelValues, instances: Path | None) -> LabelFile:
    """VIPER's pair: class ids, and red the class id, green * 256 + blue the thing."""

    def read() -> Truth:
        ids = values.to_ids(read_label(file), str(file))
        if instances is None:
            return Truth(ids)
        _, green, blue = (channel.astype(np.int32) for channel in _rgb(instances))
        return _both(ids, green * 256 + blue, instances)

    return LabelFile(read, (file,) if instances is None else (file, instances))


def snippets(files: Sequence[Path]) -> list[list[Path]]:
    """Files in order, cut where the next one is no successor: another folder or name, or a number left out.

    A successor's number is larger by less than twice the smallest step that there is between any two neighbours: a
    folder of every second frame stays whole, as one of names that are times. Names without a number are of one snippet.

    >>> [len(part) for part in snippets([Path(f"a_{i:03d}.png") for i in (1, 2, 3, 10, 11)])]
    [3, 2]
    """
    keys = list(map(numbered, files))
    steps = [b[1] - a[1] for a, b in itertools.pairwise(keys) if a[0] == b[0]]
    step = min((step for step in steps if step > 0), default=0)
    parts: list[list[Path]] = []
    before: tuple[str, int] | None = None
    for file, (name, number) in zip(files, keys, strict=True):
        follows = before is not None and name == before[0] and (number < 0 or 0 < number - before[1] < 2 * step)
        if not follows:
            parts.append([])
        parts[-1].append(file)
        before = (name, number)
    return parts


def numbered(file: Path) -> tuple[str, int]:
    """The path of a frame without its number, and the number; -1 without one.

    It is the last one in its name that does not stand within a word, as the 8 of ``leftImg8bit`` does.
    """
    found = list(re.finditer(r"(?<![A-Za-z\d])\d+|\d+(?![A-Za-z\d])", file.stem))
    if not found:
        return str(file.parent), -1
    start, end = found[-1].span()
    return str(file.parent / f"{file.stem[:start]}#{file.stem[end:]}{file.suffix}"), int(file.stem[start:end])


def _both(ids: Ids, numbers: npt.NDArray[np.int32], file: Path) -> Truth:
    if numbers.shape != ids.shape:
        raise SourceError(f"{file} is {numbers.shape}", f"{ids.shape}, as its label file")
    return Truth(ids, numbers)


def _rgb(file: Path) -> tuple[Ids, Ids, Ids]:
    stored = _decoded(file)
    if stored.dtype != np.uint8 or stored.ndim != 3 or stored.shape[2] not in (3, 4):
        raise SourceError(f"{file} decodes to {stored.dtype} {stored.shape}", "an RGB PNG of classes and things")
    values = stored.astype(np.uint8, copy=False)
    return values[..., 2], values[..., 1], values[..., 0]


def _decoded(file: Path) -> npt.NDArray[np.generic]:
    image = decode(read_bytes(file), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise SourceError(f"{file} is no image", "a whole PNG", "download it again")
    return image
