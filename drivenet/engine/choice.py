"""Which backend a request means: the first that can really run the file here, and why it is that one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drivenet.artefacts.compiled import backend_of, build_command, find_built
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.backends import BACKENDS, Backend, ranked
from drivenet.errors import DrivenetError, UsageError, nearest
from drivenet.modelspec import spec_path


@dataclass(frozen=True)
class Choice:
    """A backend and, in one clause for people, why it is that one."""

    backend: str
    why: str


def choose(backend: str = "auto", file: Path | None = None, precision: str = "auto") -> Choice:
    """Which backend a request means.

    Args:
        backend: ``auto`` or one of :data:`~drivenet.backends.BACKENDS`. ``auto`` takes the first by its rank that can
            run here: tensorrt where there is a GPU and an engine that was built from the file, else openvino where it
            is installed, else onnxruntime; a compiled artefact goes to the backend that it is made for.
        file: what is to be run; None asks for the machine alone.
        precision: what is to be computed.

    Raises:
        UsageError: for a backend that does not exist, naming those that do.
    """
    if backend != "auto":
        if backend not in BACKENDS:
            raise UsageError(f"no backend {backend!r}", cure=nearest(backend, ["auto", *BACKENDS]))
        return Choice(backend, "it was asked for")
    made_for = backend_of(file) if file else None
    if made_for:
        return Choice(made_for, f"{file} is made for it")
    passed: list[str] = []
    for candidate in ranked():
        obstacle = _against(candidate, file, precision)
        if not obstacle:
            return Choice(candidate.name, "; ".join([candidate.why, *passed]))
        passed.append(f"{candidate.name} not: {obstacle}")
    raise UsageError(f"no backend can run {file}", cure="; ".join(passed))


def _against(backend: Backend, file: Path | None, precision: str) -> str:
    """What keeps a backend from running a file here, empty if nothing does."""
    try:
        obstacle = backend.against(_computed(file) if backend.runs_onnx else None)
        if obstacle or file is None or backend.runs_onnx:
            return obstacle
        if find_built(file, backend.name, precision):
            return ""
        wanted = next(iter(backend.builds(_computed(file) or "fp32")), "auto") if precision == "auto" else precision
        return f"no engine was built from it: {build_command(file, backend.name, wanted)}"
    except (DrivenetError, OSError) as error:
        return str(error)


def _computed(file: Path | None) -> str | None:
    """The precision of an ONNX by the JSON beside it; None where there is none."""
    return read_spec_json(spec_path(file)).precision if file and spec_path(file).is_file() else None
