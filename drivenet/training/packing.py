"""Write a pack (see :mod:`drivenet.training.pack`), as good as fits."""

from __future__ import annotations

import io
import json
import lzma
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from drivenet.config import load_yaml
from drivenet.data import open_dataset
from drivenet.data.base import Sample
from drivenet.errors import SourceError, UsageError
from drivenet.files import write_atomic
from drivenet.training.libraries import libraries
from drivenet.training.pack import FORMAT, INDEX
from drivenet.training.settings import TrainSettings

DATASET, SPLITS = "camvid", ("train", "val")
#: A pack has to fit into one transfer.
LIMIT_BYTES = 35_000_000
#: JPEG qualities, the best that fits is taken.
QUALITIES = tuple(range(95, 79, -1))


@dataclass(frozen=True)
class Packed:
    """What was written.

    Args:
        size: bytes.
        quality: of the JPEG pictures.
        pictures: how many.
        names: of the settings.
    """

    size: int
    quality: int
    pictures: int
    names: tuple[str, ...]


def write_pack(
    root: Path, configs: Sequence[Path], pythons: Sequence[str], out: Path, limit: int = LIMIT_BYTES
) -> Packed:  # fmt: skip
    """Pack CamVid's train and val.

    Args:
        root: CamVid's folder.
        configs: training YAML files; a run names them by their stem.
        pythons: versions (``3.12``) to bring the libraries for.
        out: the file.
        limit: bytes that it may have.

    Raises:
        UsageError, SourceError: for settings, pictures or libraries that are not right or do not fit.
    """
    settings = {file.stem: load_yaml(file, TrainSettings) for file in configs}
    for name, one in settings.items():
        if one.data.dataset != DATASET:
            raise UsageError(f"{name} trains on {one.data.dataset}", DATASET)
    splits = {split: list(open_dataset(DATASET, root, split)) for split in SPLITS}
    ids = {split: _ids(samples) for split, samples in splits.items()}
    index = {
        "format": FORMAT, "labels": DATASET, "pythons": list(pythons),
        "names": {split: [s.name for s in samples] for split, samples in splits.items()},
        "settings": {name: one.model_dump(mode="json") for name, one in settings.items()},
    }  # fmt: skip
    brought, size = libraries(pythons), 0
    for quality in QUALITIES:
        data = _archive({**index, "quality": quality}, splits, ids, brought, quality)
        size = len(data)
        if size <= limit:
            write_atomic(out, data)
            return Packed(size, quality, sum(map(len, splits.values())), tuple(sorted(settings)))
    raise UsageError(f"{size} bytes at quality {QUALITIES[-1]}", f"at most {limit}", "bring fewer Pythons")


def _ids(samples: Sequence[Sample]) -> bytes:
    if len({s.ids.shape for s in samples}) != 1:
        raise SourceError(f"{len(samples)} pictures of several sizes", "one size, as CamVid's 480x360")
    buffer = io.BytesIO()
    np.save(buffer, np.stack([s.ids for s in samples]))
    return lzma.compress(buffer.getvalue())


def _archive(
    index: Mapping[str, object], splits: Mapping[str, Sequence[Sample]], ids: Mapping[str, bytes],
    brought: Mapping[str, bytes], quality: int,
) -> bytes:  # fmt: skip
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(INDEX, json.dumps(index), zipfile.ZIP_DEFLATED)
        for name, content in brought.items():
            archive.writestr(f"libraries/{name}.zip", content)
        for split, samples in splits.items():
            archive.writestr(f"{split}/ids.npy.xz", ids[split])
            with ThreadPoolExecutor() as pool:
                for i, code in enumerate(pool.map(lambda sample: _jpeg(sample, quality), samples)):
                    archive.writestr(f"{split}/{i:05}.jpg", code)
    return buffer.getvalue()


def _jpeg(sample: Sample, quality: int) -> bytes:
    """Colour at full size (4:4:4), progressive and with tables of its own, which saves a twentieth."""
    options = {
        cv2.IMWRITE_JPEG_QUALITY: quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        cv2.IMWRITE_JPEG_OPTIMIZE: 1,
        cv2.IMWRITE_JPEG_PROGRESSIVE: 1,
    }
    _, code = cv2.imencode(".jpg", sample.image, [v for pair in options.items() for v in pair])
    return code.tobytes()
