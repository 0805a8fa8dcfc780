"""Which picture files there are in a folder: one place decides, for sources, data sets and calibration alike."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from drivenet.errors import SourceError, SourceNotFoundError, refused

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"}
IMAGE_SUFFIXES = frozenset({".png", *_JPEG, ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm"})
#: Folders that systems make for themselves; the first two hold thumbnails and AppleDouble files named as pictures.
_SYSTEM_FOLDERS = frozenset({"@eadir", "__macosx", "#recycle", "$recycle.bin", "system volume information"})


def list_files(
    folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES, *, ending: str = "", recursive: bool = False
) -> list[Path]:
    """The files of a folder with one of these suffixes, in upper or lower case, and in no order.

    Hidden files and folders are passed over, as a shell does: a Mac leaves "._NAME" beside every file on a memory stick
    or a network drive. A link that leads nowhere is listed, so that whoever reads it reports it.

    Args:
        folder: where to look.
        suffixes: with their dot, in lower case.
        ending: what the names end in, such as ``_leftImg8bit.png``.
        recursive: whether folders within it are searched too; a folder that was reached before is not searched again.

    Raises:
        SourceNotFoundError: if there is no such folder.
        SourceError: if it, or one within it, may not be read.
    """
    names = (path for path in _walk(folder, recursive, set()) if path.name.endswith(ending))
    return [path for path in names if path.suffix.lower() in suffixes]


def list_folders(folder: Path) -> list[Path]:
    """The folders in a folder, without hidden ones and those of systems; raises as :func:`list_files`."""
    return [Path(entry.path) for entry in _entries(folder) if entry.is_dir() and not _of_system(entry.name)]


def is_hidden(path: Path) -> bool:
    """Whether a file, or a folder on the way to it, is one that :func:`list_files` passes over."""
    return any((part.startswith(".") and part not in (".", "..")) or _of_system(part) for part in path.parts)


def _walk(folder: Path, recursive: bool, seen: set[str]) -> Iterator[Path]:
    seen.add(os.path.realpath(folder))
    for entry in _entries(folder):
        if not entry.is_dir():
            yield Path(entry.path)
        elif recursive and not _of_system(entry.name) and os.path.realpath(entry.path) not in seen:
            yield from _walk(Path(entry.path), recursive, seen)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        raise SourceNotFoundError(f"no folder {folder}", cure="check the path") from None
    except OSError as error:
        raise unreadable(folder, error) from None


def _of_system(name: str) -> bool:
    return name.lower() in _SYSTEM_FOLDERS


def unreadable(path: str | Path, error: OSError) -> SourceError:
    """The SourceError for a file or folder that is there and that the system does not let us read."""
    return refused(SourceNotFoundError if isinstance(error, FileNotFoundError) else SourceError, path, error)
