"""Where engines are looked for, and where what is built from one goes."""

from __future__ import annotations

import os
from pathlib import Path

from drivenet.address import expand_home
from drivenet.resources import engines_dir, is_packaged

#: More folders of engines, searched before the user's; what an installation cannot hold itself goes to the first.
VARIABLE = "DRIVENET_ENGINES"


def search_path() -> tuple[Path, ...]:
    """``./engines``, the folders of :data:`VARIABLE`, the user's and what ships, in this order; each once."""
    shipped = engines_dir()
    found: dict[Path, Path] = {}
    for folder in (Path("engines").absolute(), *_named(), user_folder()):
        if folder.is_dir() and folder.resolve() != shipped.resolve():  # in a checkout ./engines is what ships
            found.setdefault(folder.resolve(), folder)
    return (*found.values(), shipped)


def user_folder() -> Path:
    """The engines of this user: ``drivenet/engines`` in the folder for data, by default ``~/.local/share``.

    What ships, for a user without a home folder, as in a container that runs as a mere number.
    """
    data = os.environ.get("XDG_DATA_HOME", "")
    folder = data if os.path.isabs(data) else os.path.expanduser("~/.local/share")
    return Path(folder) / "drivenet" / "engines" if os.path.isabs(folder) else engines_dir()


def own_folder() -> Path:
    """Where what belongs to no model's own folder goes: the first of :data:`VARIABLE`, else the user's."""
    return next(iter(_named()), user_folder())


def home_of(onnx: Path) -> Path:
    """Where what is built from an ONNX goes: beside it, or :func:`own_folder` where an installation or others own that.

    An installation is replaced as a whole, and may belong to another user.
    """
    beside = onnx.parent
    return beside if not is_packaged(beside) and os.access(beside, os.W_OK) else own_folder()


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which need not be there yet."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK)


def places_of(onnx: Path) -> tuple[Path, ...]:
    """The folders that may hold what was built from an ONNX: its own, then the search path."""
    others = [folder for folder in search_path() if folder.resolve() != onnx.parent.resolve()]
    return (onnx.parent, *others)


def _named() -> list[Path]:
    """The folders of :data:`VARIABLE`."""
    return [Path(expand_home(text)) for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
