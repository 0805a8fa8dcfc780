"""Pictures, settings and the libraries that read them, in files for a machine without a network.

A pack is one or more ZIP archives. The first holds ``pack.json`` (format, JPEG quality, settings by name) and
``libraries/*.zip``: what this package needs beyond torch, torchvision, numpy, OpenCV and onnx. All hold data sets as
plain folders: ``datasets/N/SPLIT/images``, ``labels``, ``finer`` and ``instances``. ``files/N/`` holds what else the
settings name: label sets, mappings, checkpoints. This module is all that reads one, so it imports nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import json
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from drivenet.errors import SourceError, SourceNotFoundError, UsageError, nearest

FORMAT = 3
INDEX = "pack.json"
#: Where data sets lie in it, and single files that the settings name.
DATASETS, FILES = "datasets/", "files/"
#: Needed to read settings and to write a ModelSpec.
LIBRARIES = ("pydantic", "yaml")


def python_tag(version: str) -> str:
    """``cp312`` for ``3.12``."""
    return "cp" + version.replace(".", "")


def this_python() -> str:
    """``3.12``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


class Pack:
    """A pack that is there, its data sets unpacked until the process ends.

    Args:
        files: what ``tools/gpu_train.py pack`` wrote, all of them.

    Raises:
        SourceError: if one is missing or no pack, or the first is not among them.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.file = files[0]
        self._archives = {file: self._opened(file) for file in files}
        firsts = [archive for archive in self._archives.values() if INDEX in archive.namelist()]
        if len(firsts) != 1:
            raise SourceError(f"{len(firsts)} files with {INDEX}", "all files of one pack", "name all of them")
        self._zip = firsts[0]
        with self._reading():
            index = json.loads(self._zip.read(INDEX))
        if index.get("format") != FORMAT or index.get("files") != len(files):
            raise SourceError(
                f"{len(files)} files of format {index.get('format')}",
                f"{index.get('files')} files of format {FORMAT}", "name all files of the pack, or pack again",
            )  # fmt: skip
        self.quality: int = index["quality"]
        self.pythons: list[str] = index["pythons"]
        self._settings: dict[str, dict[str, Any]] = index["settings"]

    def _opened(self, file: Path) -> zipfile.ZipFile:
        try:
            with self._reading(file):
                return zipfile.ZipFile(file)
        except OSError as error:
            raise SourceNotFoundError(f"cannot read {file}: {error.strerror}", "a pack of gpu_train.py") from error

    @property
    def names(self) -> list[str]:
        """Of the settings that it holds."""
        return sorted(self._settings)

    def settings(self, name: str) -> dict[str, Any]:
        """One training run's settings, files where they were unpacked; UsageError if there is none of that name."""
        if name not in self._settings:
            raise UsageError(f"no settings {name!r} in {self.file}", cure=nearest(name, self._settings))
        unpacked: dict[str, Any] = self._unpacked(self._settings[name])
        return unpacked

    def _unpacked(self, value: Any) -> Any:
        """The same with paths of this machine."""
        if isinstance(value, dict):
            return {key: self._unpacked(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._unpacked(one) for one in value]
        is_place = isinstance(value, str) and value.startswith((DATASETS, FILES))
        return str(self.folder / value) if is_place else value

    @cached_property
    def folder(self) -> Path:
        """Where the data sets and files are."""
        folder = _scratch("drivenet-data-")
        for file, archive in self._archives.items():
            with self._reading(file):
                archive.extractall(folder, [n for n in archive.namelist() if n.startswith((DATASETS, FILES))])
        return folder

    @contextlib.contextmanager
    def _reading(self, file: Path | None = None) -> Iterator[None]:
        """What is torn or no pack ends in one line."""
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, KeyError, ValueError) as error:
            raise SourceError(
                f"{file or self.file} is no whole pack: {error}", "what gpu_train.py pack writes", "copy it again"
            ) from error

    def add_libraries(self) -> None:
        """Make the libraries importable, for the rest of this process, ahead of those that are installed.

        Raises:
            UsageError: if the pack has none for this Python, and they are not installed.
        """
        tag = python_tag(this_python())
        if f"libraries/{tag}.zip" in self._zip.namelist():
            folder = _scratch("drivenet-libraries-")
            with self._reading():
                for archive in self._libraries("any", tag):
                    archive.extractall(folder)
            sys.path.insert(0, str(folder))
        try:
            for library in LIBRARIES:
                importlib.import_module(library)
        except ImportError as error:
            raise UsageError(
                f"{error} (Python {this_python()}; the pack brings it for {', '.join(self.pythons)})",
                cure=f"pack again with --python {this_python()}",
            ) from error

    def _libraries(self, *names: str) -> Iterator[zipfile.ZipFile]:
        for name in names:
            with zipfile.ZipFile(io.BytesIO(self._zip.read(f"libraries/{name}.zip"))) as archive:
                yield archive


def _scratch(prefix: str) -> Path:
    """A folder that goes with the process."""
    folder = tempfile.mkdtemp(prefix=prefix)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
