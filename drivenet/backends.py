"""The backends by name: one descriptor each, ours and those that installed packages add.

A package adds one with an entry point of the group ``drivenet.backends`` whose object is a :class:`Backend`. Whatever a
descriptor refers to is written ``module:name`` and imported when it is needed, so that naming a backend loads nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from drivenet.errors import EngineError

#: The group of entry points.
GROUP = "drivenet.backends"
#: Where the descriptors of those that ship are.
_OURS = {
    "null": "drivenet.engine.null:BACKEND",
    "onnxruntime": "drivenet.engine.onnxruntime:BACKEND",
    "openvino": "drivenet.engine.openvino:BACKEND",
    "tensorrt": "drivenet.engine.tensorrt:BACKEND",
}
_READ = {"text": str, "integer": int, "path": Path}


@dataclass(frozen=True)
class BuildOption:
    """A flag of ``drivenet build`` that one backend takes.

    Args:
        name: of the parameter, with underscores.
        kind: what it holds; a ``flag`` is on unless ``--no-NAME`` is given.
        help: what ``--help`` says.
        choices: the texts that are allowed; none for any.
        minimum: of an integer.
        metavar: what ``--help`` shows for the value.
        default: what leaving it out means; it is not noted in passports.
        exact: the value that keeps closest to the reference, taken if a build without this flag falls short.
    """

    name: str
    kind: Literal["text", "integer", "path", "flag"]
    help: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    metavar: str | None = None
    default: str | bool | None = None
    exact: str | None = None

    def read(self, noted: Mapping[str, str]) -> Any:
        """The value that the options of a passport hold, else the default."""
        flag = self.name.replace("_", "-")
        if self.kind == "flag":
            return f"no-{flag}" not in noted
        return _READ[self.kind](noted[flag]) if flag in noted else self.default

    def note(self, value: Any) -> dict[str, str]:
        """A value as the options of a passport hold it; empty for the default. Paths become absolute."""
        flag = self.name.replace("_", "-")
        if value is None or value == self.default:
            return {}
        if self.kind == "flag":
            return {f"no-{flag}": ""}
        return {flag: str(value.resolve() if isinstance(value, Path) else value)}


@dataclass(frozen=True)
class Backend:
    """What the rest of the program knows of a backend.

    Args:
        name: as ``--backend`` takes it.
        open: the class of its engines, called with (file, precision, threads); one with a ``suffix`` also takes
            ``unproven``.
        why: what speaks for it where it can be used, in one clause.
        rank: which goes first where nothing was measured, lowest first; None is never chosen by itself.
        runs_onnx: whether it runs an ONNX as it is; else it needs one of its own artefacts.
        suffix: of the file of its compiled artefacts that an engine is opened by; empty if it compiles none.
        obstacle: function of a precision, or None for any: what keeps it from running here, empty if nothing does.
        machine: function: what must be the same where an artefact was built and where it runs, for passports.
        build: function of (request, precision, target) that writes an artefact and returns a
            :class:`~drivenet.build.request.Product`.
        precisions: function of the precision of an ONNX: those that it can be built in here, the usual one first.
        options: flags of ``drivenet build`` that it alone takes.
    """

    name: str
    open: str
    why: str = "it was asked for"
    rank: int | None = None
    runs_onnx: bool = False
    suffix: str = ""
    obstacle: str = ""
    machine: str = ""
    build: str = ""
    precisions: str = ""
    options: tuple[BuildOption, ...] = ()

    def load(self, what: str) -> Any:
        """What a reference of the descriptor names, imported now.

        Raises:
            EngineError: if it cannot be imported, or there is none.
        """
        module, _, name = str(getattr(self, what)).partition(":")
        if not name:
            raise EngineError(f"the backend {self.name} has no {what}")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            told = f"the backend {self.name} cannot be imported: {error}"
            lacks = isinstance(error, ImportError)
            raise EngineError(told, cure="install what it needs" if lacks else "correct its descriptor") from error

    def against(self, precision: str | None = None) -> str:
        """What keeps this machine from computing a precision, or anything, with it; empty if nothing does."""
        return str(self.load("obstacle")(precision)) if self.obstacle else ""

    def here(self) -> dict[str, str]:
        """What this machine is to it, as passports state it; EngineError where it lacks what the backend needs."""
        found: dict[str, str] = self.load("machine")()
        return found

    def builds(self, precision: str) -> tuple[str, ...]:
        """What an ONNX of a precision can be built in here, the usual one first."""
        found: tuple[str, ...] = self.load("precisions")(precision) if self.precisions else ()
        return found


class _Backends(Mapping[str, Backend]):
    """Descriptors by name; the names are known at once, a descriptor is imported when it is asked for."""

    @cached_property
    def _added(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=GROUP) if point.name not in _OURS}

    def __getitem__(self, name: str) -> Backend:
        if name in _OURS:
            module, _, attribute = _OURS[name].partition(":")
            ours: Backend = getattr(importlib.import_module(module), attribute)
            return ours
        try:
            found = self._added[name].load()
        except (ImportError, AttributeError) as error:
            told = f"the backend {name} of {self._added[name].value} cannot be imported: {error}"
            raise EngineError(told, cure="install or remove the package that adds it") from error
        if not isinstance(found, Backend) or found.name != name:
            told = f"the entry point {name} = {self._added[name].value} is {found!r:.60}"
            raise EngineError(told, f"a drivenet.backends.Backend named {name}")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter([*_OURS, *self._added])

    def __len__(self) -> int:
        return len(_OURS) + len(self._added)


#: Every backend by its name.
BACKENDS: Mapping[str, Backend] = _Backends()


def compiling() -> list[Backend]:
    """Those that compile artefacts, by name; one of another package that cannot be imported is left out."""
    return [backend for backend in _whole() if backend.suffix]


def ranked() -> list[Backend]:
    """Those that may be chosen without being named, the one that goes first where nothing was measured first."""
    return sorted((b for b in _whole() if b.rank is not None), key=lambda b: (b.rank, b.name))


def added() -> list[str]:
    """The names of those that other packages add."""
    return [name for name in BACKENDS if name not in _OURS]


def _whole() -> Iterator[Backend]:
    for name in BACKENDS:
        try:
            yield BACKENDS[name]
        except EngineError:  # told when it is named
            continue
