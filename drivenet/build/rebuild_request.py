"""What ``drivenet run --rebuild`` asks for: the artefact that a run would take, built as its passport says it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivenet.artefacts.compiled import artefact_path, backend_of
from drivenet.artefacts.passport import NotAdmittedError, Passport, read_passport
from drivenet.backends import BACKENDS, compiling
from drivenet.build.plan import decide_precision
from drivenet.build.request import BuildRequest
from drivenet.engine import choose
from drivenet.engine.onnxruntime.file import read_spec
from drivenet.errors import UsageError


def request_for(file: Path | None, backend: str = "auto", precision: str = "auto") -> BuildRequest:
    """The build that makes what a run means.

    Args:
        file: an ONNX, or a compiled artefact with its ONNX beside it.
        backend: ``auto`` takes tensorrt where there is a GPU, else openvino.
        precision: ``auto`` takes what ``drivenet build`` would.

    Raises:
        UsageError: where there is nothing to build: another backend, or no ONNX.
        EngineError: for an ONNX that cannot be read.
    """
    made_for = backend_of(file) if file else None
    if backend == "auto":
        backend = made_for or choose().backend
    builders = [known.name for known in compiling()]
    if file is None or backend not in builders:
        raise UsageError(f"a rebuild for the backend {backend}", " or ".join(sorted(builders)), "drivenet doctor")
    if made_for:
        return _of_artefact(file, backend, precision)
    request = BuildRequest(file, backend, precision)
    precision = decide_precision(request, read_spec(file))
    passport = _passport_of(artefact_path(file, backend, precision, request.folder))
    return BuildRequest(file, backend, precision, **_options(passport, backend))


def _of_artefact(artefact: Path, backend: str, precision: str) -> BuildRequest:
    """By its name, which says what it is even where its passport is damaged."""
    stem, _, named = artefact.stem.rpartition("-")
    passport = _passport_of(artefact)
    onnx = artefact.parent / (passport.onnx if passport else f"{stem}.onnx")
    if backend != backend_of(artefact) or precision not in ("auto", named):
        raise UsageError(f"{artefact} for {backend} in {precision}", f"its ONNX {onnx}, or what its name says")
    if not onnx.is_file():
        raise UsageError(f"cannot build {artefact} again", f"{onnx}, which it is built from")
    out = None if onnx.parent == artefact.parent else artefact.parent
    return BuildRequest(onnx, backend, named, out=out, **_options(passport, backend))


def _passport_of(artefact: Path) -> Passport | None:
    """The passport of an artefact; None without an intact one."""
    try:
        return read_passport(artefact)
    except NotAdmittedError:
        return None


def _options(passport: Passport | None, backend: str) -> dict[str, Any]:
    """What an artefact was built with, as arguments of a request."""
    given = passport.options if passport else {}
    common: dict[str, Any] = {name: Path(given[name]) for name in ("calibration", "reference") if name in given}
    read = {option: option.read(given) for option in BACKENDS[backend].options}
    return {**common, "options": {option.name: value for option, value in read.items() if value != option.default}}
