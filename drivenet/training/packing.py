"""Write a pack (see :mod:`drivenet.training.pack`), as good as fits."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from drivenet.classmap import Ids
from drivenet.config import load_labels, load_yaml
from drivenet.data import open_dataset
from drivenet.data.base import Sample
from drivenet.errors import UsageError
from drivenet.files import write_atomic
from drivenet.training.libraries import libraries
from drivenet.training.named_files import NamedFiles
from drivenet.training.networks import imagenet_package
from drivenet.training.pack import DATASETS, FORMAT, INDEX
from drivenet.training.settings import SourceSettings, TrainSettings
from drivenet.training.sources import split_of

#: A file of a pack has to fit into one transfer.
LIMIT_BYTES = 55_000_000
#: JPEG qualities, the best that fits is taken.
QUALITIES = tuple(range(95, 69, -3))

Entries = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Packed:
    """What was written.

    Args:
        files: the archives.
        size: bytes of all.
        quality: of the JPEG pictures.
        pictures: how many.
        names: of the settings.
    """

    files: tuple[Path, ...]
    size: int
    quality: int
    pictures: int
    names: tuple[str, ...]


def write_pack(
    configs: Sequence[Path], pythons: Sequence[str], out: Path, root: Path | None = None, limit: int = LIMIT_BYTES,
    files: int = 2,
) -> Packed:  # fmt: skip
    """Pack training YAML files, with the data sets and all other files that they name.

    Args:
        configs: training YAML files; a run names them by their stem.
        pythons: versions (``3.12``) to bring the libraries for.
        out: the first archive; others get ``-2`` and so on.
        root: folder of the data set, for runs of one.
        limit: bytes that an archive may have.
        files: archives that there may be.

    Raises:
        UsageError, SourceError: for settings, pictures, files or libraries that are not right, missing, or do not fit.
    """
    settings = {file.stem: load_yaml(file, TrainSettings) for file in configs}
    named = NamedFiles(settings, root)
    real = [[one for one in s.data if one.dataset != "synthetic"] for s in settings.values()]
    several = next((len(some) for some in real if len(some) != 1), None)
    if root is not None and several is not None:
        raise UsageError(f"--root for a run of {several} data sets", "one", "give root in each source of the file")
    sources = list(dict.fromkeys(_located(one, root) for some in real for one in some))
    packed = {name: _packed(one, sources, root, named) for name, one in settings.items()}
    weights = [one for one in map(imagenet_package, settings.values()) if one]
    brought = [(f"libraries/{name}.zip", code) for name, code in libraries(pythons, weights).items()]
    brought += named.entries()
    size = pictures = 0
    for quality in QUALITIES:
        entries = [entry for i, one in enumerate(sources) for entry in _entries(one, f"{DATASETS}{i}", quality)]
        pictures = sum("/images/" in name for name, _ in entries)
        size = sum(len(code) for _, code in entries + brought)
        parts = _parted(brought + entries, limit)
        if len(parts) <= files and all(sum(len(code) for _, code in part) <= limit for part in parts):
            index = {"format": FORMAT, "files": len(parts), "quality": quality, "pythons": list(pythons)}
            parts[0].append((INDEX, json.dumps({**index, "settings": packed}).encode()))
            written = [out if i == 0 else out.with_stem(f"{out.stem}-{i + 1}") for i in range(len(parts))]
            for file, part in zip(written, parts, strict=True):
                write_atomic(file, _archive(part))
            total = sum(file.stat().st_size for file in written)
            return Packed(tuple(written), total, quality, pictures, tuple(sorted(settings)))
    raise UsageError(f"{size} bytes at quality {QUALITIES[-1]}", f"at most {files} x {limit}", "bring fewer Pythons")


def _located(one: SourceSettings, root: Path | None) -> SourceSettings:
    """A source by what is packed of it: all that differs but its data is of the run."""
    return SourceSettings(
        dataset=one.dataset, root=str(root) if root else one.root, labels=one.labels, refine=one.refine,
        instances=one.instances, splits=("train", "val"),
    )  # fmt: skip


def _packed(
    settings: TrainSettings, sources: list[SourceSettings], root: Path | None, named: NamedFiles
) -> dict[str, Any]:
    """Settings as they are in the pack: every data set is a plain folder there."""
    whole = settings.model_dump(mode="json")
    whole["labels"] = named.packed(settings.labels)
    whole["model"]["start"] = named.packed(settings.model.start)
    if settings.distil is not None:
        whole["distil"]["teacher"] = named.packed(settings.distil.teacher)
    data = []
    for one in settings.data:
        row = {**one.model_dump(mode="json"), "labels": named.packed(one.labels), "mapping": named.packed(one.mapping)}
        if one.dataset != "synthetic":
            labels = row["labels"] or one.dataset
            row |= {"dataset": "folder", "root": f"{DATASETS}{sources.index(_located(one, root))}", "labels": labels}
            row |= {"refine": {**row["refine"], "folder": "{split}/finer"} if one.refine else None}
            row |= {"instances": "{split}/instances" if one.instances else None}
        data.append(row)
    return {**whole, "data": data}


def _entries(one: SourceSettings, folder: str, quality: int) -> Iterator[tuple[str, bytes]]:
    labels = None if one.labels is None else load_labels(one.labels)
    for split in one.splits:
        dataset = split_of(open_dataset(one.dataset, Path(one.root) if one.root else None, split, labels), split)
        with ThreadPoolExecutor() as pool:
            coded = pool.map(lambda i: _coded(dataset[i], quality), range(len(dataset)))  # noqa: B023 - read here
            for name, image, truth in coded:
                yield f"{folder}/{split}/images/{name}.jpg", image
                yield f"{folder}/{split}/labels/{name}.png", truth
                for part, pattern in (("finer", one.refine and one.refine.folder), ("instances", one.instances)):
                    more = pattern and one.place(pattern, split) / f"{name}.png"
                    if more and more.is_file():
                        yield f"{folder}/{split}/{part}/{name}.png", more.read_bytes()


def _coded(sample: Sample, quality: int) -> tuple[str, bytes, bytes]:
    """Stem, and the coded picture and labels.

    Colour at full size (4:4:4), progressive and with tables of its own, which saves a twentieth.
    """
    options = {
        cv2.IMWRITE_JPEG_QUALITY: quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        cv2.IMWRITE_JPEG_OPTIMIZE: 1,
        cv2.IMWRITE_JPEG_PROGRESSIVE: 1,
    }
    _, code = cv2.imencode(".jpg", sample.image, [v for pair in options.items() for v in pair])
    return Path(sample.name).stem, code.tobytes(), _png(sample.ids)


def _png(ids: Ids) -> bytes:
    _, code = cv2.imencode(".png", ids, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return code.tobytes()


def _parted(entries: Entries, limit: int) -> list[Entries]:
    """In archives of at most ``limit`` bytes, in order; 200 bytes a file for names and tables."""
    parts: list[Entries] = [[]]
    size = 0
    for name, code in entries:
        size += len(code) + 200
        if size > limit:
            parts.append([])
            size = len(code) + 200
        parts[-1].append((name, code))
    return parts


def _archive(entries: Entries) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()
