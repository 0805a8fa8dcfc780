"""Cityscapes' video set: ``leftImg8bit_sequence/SPLIT/CITY/*`` in snippets of 30 frames, the 20th labelled."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from drivenet.data.cityscapes import (
    IMAGE_SUFFIX,
    INSTANCE_SUFFIX,
    LABEL_ID_SUFFIX,
    LABEL_IDS,
    TRAIN_ID_SUFFIX,
    TRAIN_IDS,
)  # fmt: skip
from drivenet.data.pairs import need_folder
from drivenet.data.sequences.base import VideoSet
from drivenet.data.sequences.files import FileSequence, LabelFile, semantic, with_instances
from drivenet.errors import SourceError
from drivenet.labels import CITYSCAPES
from drivenet.panoptic import CITYSCAPES_THINGS
from drivenet.picture_files import list_files, list_folders

#: Frames before the labelled one, and after it (Cordts et al. 2016).
BEFORE, AFTER, FPS = 19, 10, 17.0
_SHOWN = 3


def open_cityscapes_video(root: Path, split: str) -> VideoSet:
    """Every labelled frame with the 19 before and the 10 after it.

    Cities without images or labels, snippets that lack frames and labels without a snippet are left out and named in
    ``missing``.

    Args:
        root: the folder with ``leftImg8bit_sequence`` and ``gtFine``.
        split: ``train``, ``val`` or ``test``.

    Raises:
        SourceError: if a folder is missing or no snippet is whole.
    """
    layout = f"Cityscapes: leftImg8bit_sequence/{split}/CITY/*.png and gtFine/{split}/CITY/*.png"
    frames, truths = (
        need_folder(need_folder(need_folder(root, layout) / part, layout) / split, layout)
        for part in ("leftImg8bit_sequence", "gtFine")
    )
    cities = {kind: {f.name: f for f in list_folders(top)} for kind, top in (("images", frames), ("labels", truths))}
    missing = [
        f"no {kind} of {city}" for kind, found in cities.items() for city in _others(cities, kind) if city not in found
    ]
    sequences: list[FileSequence] = []
    for city in sorted(cities["images"].keys() & cities["labels"].keys()):
        _add_city(city, cities["images"][city], cities["labels"][city], sequences, missing)
    if not sequences:
        raise SourceError(f"no whole snippet in {frames}: {'; '.join(missing[:_SHOWN]) or 'it is empty'}", layout)
    things = CITYSCAPES_THINGS if all(len(f.paths) > 1 for s in sequences for f in s.labels.values()) else ()
    return VideoSet("cityscapes-video", split, CITYSCAPES, tuple(sequences), things, tuple(missing))


def _others(cities: dict[str, dict[str, Path]], kind: str) -> list[str]:
    return sorted(city for other, found in cities.items() if other != kind for city in found)


def _add_city(city: str, frames: Path, truths: Path, sequences: list[FileSequence], missing: list[str]) -> None:
    images = {f.name.removesuffix(IMAGE_SUFFIX): f for f in list_files(frames, (".png",), ending=IMAGE_SUFFIX)}
    labels = _labels(truths)
    used: set[str] = set()
    for name in sorted(labels):
        drive, _, number = name.rpartition("_")
        if not number.isdecimal():
            missing.append(f"{name} of {city}: no number of a frame")
            continue
        wanted = [f"{drive}_{i:06d}" for i in range(int(number) - BEFORE, int(number) + AFTER + 1)]
        used.update(wanted)
        lacking = [one for one in wanted if one not in images]
        if lacking:
            missing.append(f"{name}: no frame{'s' if len(lacking) > 1 else ''} {_list(lacking)}")
            continue
        sequences.append(FileSequence(name, city, [images[f] for f in wanted], {BEFORE: labels[name]}, FPS,
                                      names=wanted))  # fmt: skip
    if alone := sorted(images.keys() - used):
        missing.append(f"no labels for {len(alone)} frames of {city}: {_list(alone)}")


def _labels(folder: Path) -> dict[str, LabelFile]:
    """The truth by frame; train ids need no translation, and win."""
    files = {suffix: {f.name.removesuffix(suffix): f for f in list_files(folder, (".png",), ending=suffix)}
             for suffix in (LABEL_ID_SUFFIX, TRAIN_ID_SUFFIX, INSTANCE_SUFFIX)}  # fmt: skip
    found: dict[str, LabelFile] = {}
    for suffix, values in ((LABEL_ID_SUFFIX, LABEL_IDS), (TRAIN_ID_SUFFIX, TRAIN_IDS)):
        for name, file in files[suffix].items():
            instances = files[INSTANCE_SUFFIX].get(name)
            found[name] = with_instances(file, values, instances) if instances else semantic(file, values)
    return found


def _list(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")
