"""Any folders of frames or videos with sparse labels, listed in a small YAML file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from drivenet.config import Settings, load_labels, load_yaml, yaml_file
from drivenet.config_texts import Place
from drivenet.data.pairs import LabelValues, class_ids
from drivenet.data.sequences.base import FrameSequence, Truth, VideoSet
from drivenet.data.sequences.files import FileSequence, LabelFile, numbered, semantic
from drivenet.errors import ConfigError, SourceError, SourceNotFoundError
from drivenet.frame import Image
from drivenet.labels import IGNORE_ID
from drivenet.picture_files import IMAGE_SUFFIXES, list_files
from drivenet.sources.video import VideoFile

Key = TypeVar("Key", str, int)


class SequenceRow(Settings):
    """One sequence."""

    frames: Place = Field(description="A folder of images, or a video file; seen from the folder of this file.")
    labels: Place | None = Field(
        None,
        description="A folder of label PNGs with the frames' names, or numbered as the video's frames, from 0.",
    )
    name: str | None = Field(None, description="How outputs call it [default: the name of the folder or video].")
    group: str = Field("", description="A city, a drive: sequences of a group have figures together.")
    fps: float = Field(0.0, ge=0, allow_inf_nan=False, description="At which it was recorded.")


class VideoSettings(Settings):
    """A video set of one's own."""

    name: str = Field("listed", description="How outputs call the set.")
    labels: Place = Field("cityscapes", description="What the ids mean: NAME or FILE.yaml.")
    sequences: tuple[SequenceRow, ...] = Field(min_length=1, description="The sequences.")


class VideoSequence(FrameSequence):
    """A video file, decoded as it is asked for."""

    def __init__(self, name: str, group: str, file: Path, count: int, labels: Mapping[int, LabelFile],
                 fps: float) -> None:  # fmt: skip
        names = tuple(f"{name}_{i:06d}" for i in range(count))
        super().__init__(name, group, names, tuple(sorted(labels)), fps)
        self.file, self.labels = file, dict(labels)

    @property
    def files(self) -> tuple[Path, ...]:
        """The video and label files."""
        return (self.file, *(path for label in self.labels.values() for path in label.paths))

    def place(self, index: int) -> Path:
        """The frame's number below the video."""
        return self.file.with_suffix("") / f"{index:06d}"

    def frames(self) -> Iterator[Image]:
        """The frames as a run of the file would have them: upright, and all of them."""
        return _decode(self.file)

    def truth(self, index: int) -> Truth:
        """The ids of a labelled frame."""
        return self.labels[index].read()


def open_listed(file: Path, split: str = "") -> VideoSet:
    """The sequences that a YAML file lists; there are no splits, and ``split`` is not used.

    Raises:
        ConfigError: for a file that is not right, or names a sequence twice.
        SourceError: for frames or labels that are missing, or labels that belong to no frame.
    """
    settings, folder = load_yaml(file, VideoSettings), yaml_file(file).parent
    labels = load_labels(settings.labels)
    values = class_ids(labels, IGNORE_ID)
    sequences = tuple(_open(row, folder, values) for row in settings.sequences)
    names = [sequence.name for sequence in sequences]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{file} names a sequence {twice[0]!r} twice", "distinct names", "give one a name")
    return VideoSet(settings.name, "", labels, sequences)


def _open(row: SequenceRow, folder: Path, values: LabelValues) -> FrameSequence:
    place = folder / row.frames
    name = _below(row.name or Path(os.path.abspath(place)).stem, place)
    group = _below(row.group or name, place)
    labels = sorted(list_files(folder / row.labels, (".png",))) if row.labels else []
    files = _keyed(labels, lambda file: file.stem, "labels")
    if place.is_dir():
        images = sorted(list_files(place), key=numbered)
        if not images:
            raise SourceError(f"{place} holds no images", f"files named {', '.join(sorted(IMAGE_SUFFIXES))}")
        stems = {stem: i for i, stem in enumerate(_keyed(images, lambda file: file.stem, "images"))}
        _no_strays(files, stems, place)
        found = {stems[stem]: semantic(file, values) for stem, file in files.items()}
        names = [f"{name}_{image.stem}" for image in images]
        return FileSequence(name, group, images, found, row.fps, names=names)
    if not place.is_file():
        raise SourceNotFoundError(f"no {place}", "a folder of images or a video")
    count = sum(1 for _ in _decode(place))
    numbers = {file.stem: numbered(file)[1] for file in files.values()}
    _no_strays({stem: files[stem] for stem in files if not 0 <= numbers[stem] < count}, {}, place)
    by_number = _keyed(labels, lambda file: numbers[file.stem], "labels")
    found = {number: semantic(file, values) for number, file in by_number.items()}
    return VideoSequence(name, group, place, count, found, row.fps)


def _below(name: str, place: Path) -> str:
    """A name that outputs can bear as a place in their folder; ConfigError for one that leads out of it."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise ConfigError(f"{name!r} as name or group of {place}", "a name without '..', of a place below a folder")
    return name


def _keyed(files: Sequence[Path], key: Callable[[Path], Key], kind: str) -> dict[Key, Path]:
    """Files by what tells their frame, in order; SourceError where two are of one."""
    found: dict[Key, Path] = {}
    for file in files:
        other = found.setdefault(key(file), file)
        if other is not file:
            raise SourceError(f"{kind} {other} and {file.name} are of one frame", f"one of the {kind} for each frame",
                              "move the others out of the folder")  # fmt: skip
    return found


def _no_strays(labels: Mapping[str, Path], frames: Mapping[str, int], where: Path) -> None:
    if strays := sorted(labels.keys() - frames.keys()):
        raise SourceError(f"{where} has no frame for label {labels[strays[0]]} ({len(strays)} such)",
                          "labels of the frames' names or numbers")  # fmt: skip


def _decode(file: Path) -> Iterator[Image]:
    with VideoFile(file) as video:
        try:
            yield from (frame.image for frame in video)
        except SourceError as error:  # whose cure is an option of a run
            raise SourceError(error.received, "a whole video", "copy or record it again") from error
