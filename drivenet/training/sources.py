"""The sources of a run: pictures of several data sets, labelled in codes of the network's classes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.config import load_labels
from drivenet.data import open_dataset
from drivenet.data.base import Dataset, Sample
from drivenet.data.synthetic import SyntheticDataset
from drivenet.data.views import Part, WithInstances, WithoutFringes, beside, with_things
from drivenet.errors import SourceError, UsageError
from drivenet.label_mapping import LabelMapping
from drivenet.labels import CAMVID, CITYSCAPES, IGNORE_ID, LabelSet
from drivenet.training.regions import walls
from drivenet.training.samples import Pictures, Source
from drivenet.training.sets import SetCodes
from drivenet.training.settings import FRAMES_A_DRIVE, SourceSettings, TrainSettings

#: The size of drawn frames, near that of the data sets' pictures.
DRAWN_WIDTH, DRAWN_HEIGHT = 640, 360
#: Of so many pictures of a folder without splits one is selected on.
HELD_OUT_OF = 5
#: Drawn frames that a run is selected on.
VAL_FRAMES = 48


@dataclass(frozen=True)
class Val:
    """Pictures that a run is selected on, labelled as their data set does.

    Args:
        name: of the data set.
        pictures: the pictures.
        mapping: from their labels to the network's.
        weight: in the mean.
    """

    name: str
    pictures: Pictures
    mapping: LabelMapping
    weight: float


@dataclass(frozen=True)
class Material:
    """What a run learns from and is selected on.

    Args:
        sources: pictures to learn from.
        vals: what to select on.
        codes: what the labels of the sources mean.
    """

    sources: list[Source]
    vals: list[Val]
    codes: SetCodes

    @property
    def labels(self) -> LabelSet:
        """The network's classes."""
        return self.codes.labels


class Coded:
    """Labelled pictures with codes in place of their labels, made when asked for.

    Args:
        pictures: of one split.
        mapping: from their labels to the network's.
        codes: of the run.
        finer: a folder of finer labels in the network's classes, and the data set's classes that they refine.
    """

    def __init__(
        self, pictures: Dataset, mapping: LabelMapping, codes: SetCodes, finer: tuple[Path, Ids] | None = None
    ) -> None:
        self._pictures, self._table, self._members = pictures, codes.table(mapping), codes.members
        self._finer, self._things = finer, pictures.labels.countable_table != 0

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int, /) -> Sample:
        sample = self._pictures[index]
        coded = self._table[sample.ids]
        if self._finer is not None:
            folder, refined = self._finer
            fine = beside(folder, sample)
            known = np.where(fine < self._members.shape[1], fine, 0)
            use = (refined[sample.ids] != 0) & (fine == known) & self._members[coded, known]
            coded = np.where(use, fine, coded)
        return replace(sample, ids=coded.astype(np.uint8), instances=self._single(sample))

    def _single(self, sample: Sample) -> npt.NDArray[np.integer] | None:
        """Instances, with -1 in things without one, such as Cityscapes' groups: nobody knows which they are."""
        found = sample.instances
        if found is None or found.dtype == np.uint8:
            return found
        return np.where(self._things[sample.ids] & (found == 0), -1, found)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))


class Joined:
    """The pictures of several splits, one after the other."""

    def __init__(self, parts: Sequence[Pictures]) -> None:
        self._parts = [(part, i) for part in parts for i in range(len(part))]

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: int, /) -> Sample:
        part, i = self._parts[index]
        return part[i]

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))


def load(settings: TrainSettings, root: Path | None = None) -> Material:
    """Read the pictures that the settings name. Those of Cityscapes stay on disk (24 GB decoded), others in memory.

    Args:
        settings: the run.
        root: folder of the data set; the settings' own if None.

    Raises:
        UsageError, SourceError, ConfigError: for missing data, or labels that do not map.
    """
    labels = load_labels(settings.labels)
    real = [one for one in settings.data if one.dataset != "synthetic"]
    if root is not None and len(real) != 1:
        raise UsageError(f"--root for a run of {len(real)} data sets", "one", "give root in each source of the file")
    opened = [_open(one, labels, root, {*one.splits, *(["val"] if one.select else [])}) for one in settings.data]
    _check_mappings([(one.known_as, mapping) for one, (_, mapping) in zip(settings.data, opened, strict=True)], labels)
    codes = SetCodes(labels, (mapping for _, mapping in opened), [walls(labels)] if settings.augment.tunnel else [])
    parted = bool(settings.paste.share or settings.model.options.get("things"))
    sources, vals = [], []
    for one, (splits, mapping) in zip(settings.data, opened, strict=True):
        drawn = one.dataset == "synthetic"
        parts = [
            Coded(_parted(splits[name], one, name, root, parted), mapping, codes, _finer(one, name, mapping, root))
            for name in one.splits
        ]
        pictures: Pictures = parts[0] if len(parts) == 1 else Joined(parts)
        source = Source(_kept(one, pictures), one.share, drawn)
        if settings.distil is None:
            _check_labels(one.known_as, source)
        sources.append(source)
        if one.select:
            vals.append(_val(one, splits["val"], mapping))
    return Material(sources, vals, codes)


def _check_mappings(mappings: Sequence[tuple[str, LabelMapping]], labels: LabelSet) -> None:
    """UsageError for sources with one label set, of which a label can be nothing in one that it may be in the other."""
    for (mine, one), (theirs, other) in combinations(mappings, 2):
        pairs = (
            zip(one.dataset.classes, one.members, other.members, strict=True) if one.dataset == other.dataset else ()
        )
        for name, some, others in pairs:
            if some and others and not some & others:
                told = " and ".join(", ".join(labels.classes[i] for i in sorted(part)) for part in (some, others))
                raise UsageError(f"{name} of {one.dataset.name} as {told} in {mine} and {theirs}",
                                 "mappings that agree", "mend one, or give one source labels of its own")  # fmt: skip


def _check_labels(name: str, source: Source) -> None:
    """UsageError for a source to learn from whose labels all have no truth."""
    if source.share and len(source.pictures) and all((one.ids == IGNORE_ID).all() for one in source.pictures):
        raise UsageError(f"{name} holds no label to learn from", "pixels of classes that the network tells",
                         "label them, look at the mapping, or leave the source out")  # fmt: skip


def load_vals(settings: TrainSettings) -> list[Val]:
    """Read the pictures that a run is selected on, and no others; ``vals`` as :func:`load` gives them.

    Args:
        settings: the run.

    Raises:
        UsageError, SourceError, ConfigError: as :func:`load`.
    """
    labels = load_labels(settings.labels)
    some = [one for one in settings.data if one.select]
    opened = [_open(one, labels, None, {"val"}) for one in some]
    return [_val(one, splits["val"], mapping) for one, (splits, mapping) in zip(some, opened, strict=True)]


def _val(one: SourceSettings, pictures: Dataset, mapping: LabelMapping) -> Val:
    """What is selected on of a source's val, read."""
    return Val(one.known_as, _kept(one, _evenly(pictures, one.select_pictures)), mapping, one.select)


def _open(
    one: SourceSettings, labels: LabelSet, root: Path | None, wanted: Collection[str]
) -> tuple[dict[str, Dataset], LabelMapping]:
    """The splits of a source that are wanted, by name, and the mapping of their labels."""
    given = None if one.labels is None else load_labels(one.labels)
    if one.dataset == "synthetic":
        theirs = given or (labels if labels in (CAMVID, CITYSCAPES) else CITYSCAPES)
        counts = {"train": one.frames, "val": min(one.frames, VAL_FRAMES)}
        splits: dict[str, Dataset] = {name: drawn_frames(name, counts[name], theirs) for name in wanted}
    else:
        place = root or (Path(one.root) if one.root else None)
        splits = {name: split_of(open_dataset(one.dataset, place, name, given), name) for name in wanted}
        if one.ignore_fringes:
            splits = {name: WithoutFringes(split, one.ignore_fringes) for name, split in splits.items()}
    file = Path(one.mapping) if one.mapping else None
    return splits, LabelMapping.of(next(iter(splits.values())).labels, labels, file)


def split_of(dataset: Dataset, split: str) -> Dataset:
    """A split of a data set; of a plain folder without splits every fifth picture is ``val`` and the others ``train``.

    Raises:
        SourceError: for a folder without splits that holds fewer than :data:`HELD_OUT_OF` pictures.
    """
    if dataset.split != "all":
        return dataset
    if len(dataset) < HELD_OUT_OF:
        raise SourceError(f"{len(dataset)} labelled pictures without splits", f"at least {HELD_OUT_OF}",
                          "label more, or sort them into train and val")  # fmt: skip
    held_out = range(HELD_OUT_OF // 2, len(dataset), HELD_OUT_OF)
    return Part(dataset, split, held_out if split == "val" else sorted({*range(len(dataset))} - {*held_out}))


def drawn_frames(split: str, frames: int, labels: LabelSet) -> SyntheticDataset:
    """Frames of the synthetic drive, four from each."""
    size = {"width": DRAWN_WIDTH, "height": DRAWN_HEIGHT}
    return SyntheticDataset(split, frames // FRAMES_A_DRIVE, FRAMES_A_DRIVE, **size, labels=labels)


def _finer(one: SourceSettings, split: str, mapping: LabelMapping, root: Path | None) -> tuple[Path, Ids] | None:
    if one.refine is None:
        return None
    refined = np.zeros(256, np.uint8)
    refined[[mapping.dataset.id_of(name) for name in one.refine.classes]] = 1
    return one.place(one.refine.folder, split, root), refined


def _parted(pictures: Dataset, one: SourceSettings, split: str, root: Path | None, wanted: bool) -> Dataset:
    """With single things: of the folder that the settings name, or, if they are wanted, of the layout's own files."""
    if one.instances is None:
        return with_things(pictures) if wanted else pictures
    return WithInstances(pictures, one.place(one.instances, split, root))


def _kept(one: SourceSettings, pictures: Pictures) -> Pictures:
    """In memory, but for those that are too many."""
    if one.dataset == "cityscapes":
        return pictures
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(pictures.__getitem__, range(len(pictures))))


def _evenly(pictures: Dataset, most: int | None) -> Pictures:
    """At most so many, evenly taken."""
    count = len(pictures)
    if most is None or count <= most:
        return pictures
    return [pictures[i * count // most] for i in range(most)]
