"""Pictures, settings and the libraries that read them, in one file for a machine without a network.

A pack is a ZIP archive: ``pack.json`` (format, label set, JPEG quality, names, settings by name), ``SPLIT/00000.jpg``,
``SPLIT/ids.npy.xz`` (N, H, W) uint8, and ``libraries/*.zip``: what this package needs beyond torch, torchvision, numpy,
OpenCV and onnx. This module is all that reads one, so it imports nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import json
import lzma
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from drivenet.classmap import Ids
from drivenet.data.base import Sample
from drivenet.errors import SourceError, SourceNotFoundError, UsageError, nearest
from drivenet.labels import LabelSet, built_in

FORMAT = 1
INDEX = "pack.json"
#: Needed to read settings and to write a ModelSpec.
LIBRARIES = ("pydantic", "yaml")


def python_tag(version: str) -> str:
    """``cp312`` for ``3.12``."""
    return "cp" + version.replace(".", "")


def this_python() -> str:
    """``3.12``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


class Pack:
    """A pack that is there.

    Args:
        file: what ``tools/gpu_train.py pack`` wrote.

    Raises:
        SourceError: if it is missing, or no pack.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with self._reading():
                self._zip = zipfile.ZipFile(file)
                index = json.loads(self._zip.read(INDEX))
        except OSError as error:
            raise SourceNotFoundError(f"cannot read {file}: {error.strerror}", "a pack of gpu_train.py") from error
        if index.get("format") != FORMAT:
            raise SourceError(f"{file} of format {index.get('format')}", f"format {FORMAT}", "pack again")
        self.labels: LabelSet = built_in(index["labels"])
        self.quality: int = index["quality"]
        self.pythons: list[str] = index["pythons"]
        self._names: dict[str, list[str]] = index["names"]
        self._settings: dict[str, dict[str, Any]] = index["settings"]

    @property
    def names(self) -> list[str]:
        """Of the settings that it holds."""
        return sorted(self._settings)

    def settings(self, name: str) -> dict[str, Any]:
        """One training run's settings; UsageError listing what there is if there is none of that name."""
        if name not in self._settings:
            raise UsageError(f"no settings {name!r} in {self.file}", cure=nearest(name, self._settings))
        return self._settings[name]

    def samples(self, split: str) -> list[Sample]:
        """The pictures of ``train`` or ``val``."""
        names = self._names[split]
        with self._reading():
            ids = self._ids(split)
            coded = [np.frombuffer(self._zip.read(f"{split}/{i:05}.jpg"), np.uint8) for i in range(len(names))]
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(lambda code: cv2.imdecode(code, cv2.IMREAD_COLOR), coded))
        if any(image is None for image in images):
            raise SourceError(f"{self.file} holds a picture that OpenCV cannot read", cure="copy it again")
        return [Sample(np.asarray(i, np.uint8), t, n) for i, t, n in zip(images, ids, names, strict=True)]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """What is torn or no pack ends in one line."""
        try:
            yield
        except (zipfile.BadZipFile, lzma.LZMAError, KeyError, ValueError) as error:
            raise SourceError(
                f"{self.file} is no whole pack: {error}", "what gpu_train.py pack writes", "copy it again"
            ) from error

    def _ids(self, split: str) -> Ids:
        loaded: Ids = np.load(io.BytesIO(lzma.decompress(self._zip.read(f"{split}/ids.npy.xz"))))
        return loaded

    def add_libraries(self) -> None:
        """Make the libraries importable, for the rest of this process, ahead of those that are installed.

        Raises:
            UsageError: if the pack has none for this Python, and they are not installed.
        """
        tag = python_tag(this_python())
        if f"libraries/{tag}.zip" in self._zip.namelist():
            folder = tempfile.mkdtemp(prefix="drivenet-libraries-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            with self._reading():
                for archive in self._archives("any", tag):
                    archive.extractall(folder)
            sys.path.insert(0, folder)
        try:
            for library in LIBRARIES:
                importlib.import_module(library)
        except ImportError as error:
            raise UsageError(
                f"{error} (Python {this_python()}; the pack brings it for {', '.join(self.pythons)})",
                cure=f"pack again with --python {this_python()}",
            ) from error

    def _archives(self, *names: str) -> Iterator[zipfile.ZipFile]:
        for name in names:
            with zipfile.ZipFile(io.BytesIO(self._zip.read(f"libraries/{name}.zip"))) as archive:
                yield archive
