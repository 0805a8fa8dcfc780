"""What ``drivenet run --rebuild`` asks for: the artefact that a run would take, built as its passport says it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivenet.artefacts.compiled import artefact_path, backend_of
from drivenet.artefacts.passport import NotAdmittedError, Passport, read_passport
from drivenet.build.build import BUILDERS
from drivenet.build.plan import decide_precision
from drivenet.build.request import BuildRequest
from drivenet.engine import choose
from drivenet.engine.onnxruntime.file import read_spec
from drivenet.errors import UsageError

#: What the flags of a passport become in a request.
_OPTIONS: dict[str, Any] = {
    "calibration": Path,
    "reference": Path,
    "floats": str,
    "workspace": int,
    "timing-cache": Path,
    "dla": int,
    "argmax": str,
}


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
    if file is None or backend not in BUILDERS:
        raise UsageError(f"a rebuild for the backend {backend}", " or ".join(sorted(BUILDERS)), "drivenet doctor")
    if made_for:
        return _of_artefact(file, backend, precision)
    precision = decide_precision(BuildRequest(file, backend, precision), read_spec(file))
    passport = _passport_of(artefact_path(file, backend, precision, file.parent))
    return BuildRequest(file, backend, precision, **_options(passport))


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
    return BuildRequest(onnx, backend, named, out=out, **_options(passport))


def _passport_of(artefact: Path) -> Passport | None:
    """The passport of an artefact; None without an intact one."""
    try:
        return read_passport(artefact)
    except NotAdmittedError:
        return None


def _options(passport: Passport | None) -> dict[str, Any]:
    """The options that an artefact was built with."""
    given = passport.options if passport else {}
    options = {name.replace("-", "_"): kind(given[name]) for name, kind in _OPTIONS.items() if name in given}
    return {**options, "gpu_fallback": "no-gpu-fallback" not in given}
