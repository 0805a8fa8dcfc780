"""What a build is asked for, and what a backend's builder hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivenet.artefacts.store import home_of
from drivenet.backends import BACKENDS


@dataclass(frozen=True)
class BuildRequest:
    """One build, as ``drivenet build`` is told.

    Args:
        onnx: the deployed model.
        backend: one that compiles.
        precision: ``auto`` takes int8 for an int8 ONNX, else what is usual for the backend.
        size: height and width that the ONNX must have; None takes what it has.
        out: where the artefact goes; None = :func:`~drivenet.artefacts.store.home_of` the ONNX.
        calibration: pictures to compare on; None = the synthetic drive.
        reference: the FP32 ONNX to compare with; None = the ONNX itself, or the one of the same checkpoint beside it.
        accept_parity: keep an artefact that falls short.
        options: what the backend alone takes, by the names of its :class:`~drivenet.backends.BuildOption`.
    """

    onnx: Path
    backend: str
    precision: str = "auto"
    size: tuple[int, int] | None = None
    out: Path | None = None
    calibration: Path | None = None
    reference: Path | None = None
    accept_parity: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def option(self, name: str) -> Any:
        """The value of an option of the backend, its default where it was not given."""
        given = self.options.get(name)
        known = {option.name: option for option in BACKENDS[self.backend].options}
        return known[name].default if given is None else given

    @property
    def folder(self) -> Path:
        """Where the artefact goes."""
        return self.out or home_of(self.onnx)


@dataclass(frozen=True)
class Product:
    """What a builder has written.

    Args:
        files: all of the artefact, the one that is named to an engine first.
        machine: what must be the same where it runs.
        recorded: versions and figures for people.
        options: flags of ``drivenet build`` that would make it again.
    """

    files: tuple[Path, ...]
    machine: dict[str, str]
    recorded: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
