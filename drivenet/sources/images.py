"""Folders of pictures, single pictures and globs."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from drivenet.decoding import read_bytes, upright_picture
from drivenet.errors import NoVideoError, SourceError
from drivenet.frame import Frame, Image
from drivenet.latency import now_ns
from drivenet.picture_files import IMAGE_SUFFIXES, is_hidden, list_files, unreadable
from drivenet.sources.base import Source, SourceStatus
from drivenet.sources.losses import SKIP, Losses
from drivenet.sources.opencv import silence_opencv
from drivenet.sources.options import Options
from drivenet.sources.uri import no_such_file


class Images(Source):
    """Pictures in the given order, one frame each; their sizes may differ.

    Args:
        name: how messages call them together.
        paths: of the pictures.
        base: the folder that their names begin below; None for names without folders.
        damaged: what becomes of damaged files: ``stop`` ends there, ``skip`` leaves them out and counts them.

    Raises:
        NoVideoError: if there are none, or later, if all are damaged.
    """

    continuous = False

    def __init__(self, name: str, paths: Sequence[Path], base: Path | None = None, damaged: str = "stop") -> None:
        if not paths:
            raise NoVideoError(f"{name} holds no pictures", f"files named {', '.join(sorted(IMAGE_SUFFIXES))}")
        self.name, self.frames = name, len(paths)
        self._paths, self._base, self._skips = paths, base, damaged == "skip"
        self._losses = Losses(name)
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        for path in self._paths:
            if self._closed:
                return
            image = self._read(path)
            if image is None:
                continue
            file = path.relative_to(self._base).as_posix() if self._base else path.name
            yield Frame(image, index, now_ns(), file=file)
            index += 1
        if not index:
            raise NoVideoError(f"{self.name} holds damaged pictures only", "a picture that can be read")

    def _read(self, path: Path) -> Image | None:
        """The picture; None for a damaged one that is left out."""
        content = read_bytes(path)
        try:
            return upright_picture(content, path)
        except SourceError as error:
            if not self._skips:
                cures = (error.cure, SKIP if len(self._paths) > 1 else "")
                raise SourceError(error.received, error.expected, "; ".join(filter(None, cures))) from None
            self._losses.picture(error.received)
            return None

    def status(self) -> SourceStatus:
        """How many files were left out."""
        return SourceStatus(lost_frames=self._losses.damaged)

    def close(self) -> None:
        """End the iteration at the next picture."""
        self._closed = True


def open_images(uri: str, options: Options) -> Images:
    """Open a picture, those in a folder and its sub-folders, or those that match a glob, in natural order.

    Raises:
        SourceNotFoundError: if nothing has that name.
        NoVideoError: if there are no pictures.
    """
    silence_opencv()
    return Images(uri, find_images(uri), base_of(uri), options.damaged)


def find_images(uri: str) -> list[Path]:
    """The files that :func:`open_images` reads; SourceNotFoundError if nothing has that name."""
    path = Path(uri)
    try:
        if path.is_dir():
            found = list_files(path, recursive=True)
        elif path.exists():
            return [path]
        else:
            found = _matching(uri)
            if not found:
                raise no_such_file(path)
        # a link that leads nowhere stays in, to be reported
        pictures = [p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and (p.is_file() or not p.exists())]
    except OSError as error:
        raise unreadable(uri, error) from None
    return sorted(pictures, key=_natural)


def base_of(uri: str) -> Path:
    """The folder that the names of pictures begin below: a folder itself, and of a glob what has no wildcard."""
    path = Path(uri)
    if os.path.isdir(path):
        return path
    return path.parent if os.path.exists(path) else Path(*path.parts[: _literal_parts(path)])


def _literal_parts(pattern: Path) -> int:
    parts = pattern.parts
    return next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)


def _matching(pattern: str) -> list[Path]:
    """The files that match a glob, without those that no folder shows: where ``*`` or ``**`` stands for them."""
    literal = _literal_parts(Path(pattern))
    if "**" in Path(pattern).parts:
        list_files(base_of(pattern), recursive=True)  # glob passes over what may not be read
    found = map(Path, glob.glob(pattern, recursive=True))
    return [path for path in found if not is_hidden(Path(*path.parts[literal:-1]))]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts ``2.png`` before ``10.png``."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", str(path))]
