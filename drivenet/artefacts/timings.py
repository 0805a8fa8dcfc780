"""What was measured of the engines of a model on this machine, kept beside their passports."""

from __future__ import annotations

import contextlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drivenet.artefacts.store import home_of, own_folder
from drivenet.files import digest_of, write_atomic
from drivenet.host.cpu import cpu_model, physical_cores
from drivenet.resources import engines_dir

#: Packages whose versions change how fast an engine is.
_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt")


class Timing(BaseModel):
    """One engine: ``seal`` is that of its passport, empty for an ONNX that runs as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    backend: str
    precision: str
    seal: str = ""
    ms: float = Field(gt=0, description="lower quartile of an inference")

    def __str__(self) -> str:
        return f"{self.backend} {self.precision} {self.ms:.1f} ms"


class Timings(BaseModel):
    """What is known of a model here. It holds for one machine, one ONNX and one set of libraries."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    onnx_sha256: str
    machine: dict[str, str]
    threads: int
    rows: tuple[Timing, ...] = ()
    refused: dict[str, str] = Field(default_factory=dict, description="why a build failed or a file was not admitted")

    def fits(self, other: Timings) -> bool:
        """Whether both are of the same ONNX on the same machine with as many threads."""
        return all(getattr(self, name) == getattr(other, name) for name in ("onnx_sha256", "machine", "threads"))


def build_key(onnx: Path, backend: str, precision: str) -> str:
    """How a build is named where it is noted that it failed."""
    return f"{onnx.name} {backend} {precision}"


def build_folder(onnx: Path) -> Path:
    """Where what is built without being asked for goes: never to a folder that ships."""
    return own_folder() if onnx.parent.resolve() == engines_dir().resolve() else home_of(onnx)


def empty(onnx: Path, threads: int | None) -> Timings:
    """Nothing known yet of an ONNX here."""
    facts = {"cpu": cpu_model(), **{name: text for name in _PACKAGES if (text := _version(name))}}
    return Timings(onnx_sha256=digest_of(onnx), machine=facts, threads=threads or physical_cores())


def read_timings(onnx: Path, threads: int | None) -> Timings:
    """What is known of an ONNX here; an empty one where nothing is, or it was for something else."""
    fresh = empty(onnx, threads)
    try:
        found = Timings.model_validate_json(_path(onnx, fresh).read_bytes())
    except (OSError, ValidationError):
        return fresh
    return found if found.fits(fresh) else fresh


def write_timings(onnx: Path, timings: Timings) -> None:
    """Keep it, where the folder can be written to; it can be measured again."""
    with contextlib.suppress(OSError):
        write_atomic(_path(onnx, timings), timings.model_dump_json(indent=1) + "\n")


def _path(onnx: Path, timings: Timings) -> Path:
    return build_folder(onnx) / f"{onnx.stem}-{timings.onnx_sha256[:8]}.timings.json"


def lock_path(onnx: Path) -> Path:
    """A file that whoever builds from a model unasked holds locked."""
    return build_folder(onnx) / f".{onnx.stem}.lock"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
