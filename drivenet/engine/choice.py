"""Which backend a request means: the fastest that can really run the file here, and why it is that one."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from drivenet.artefacts.compiled import backend_of, build_command, find_built
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.engine.cuda.nvidia import probe
from drivenet.errors import DrivenetError, UsageError, nearest
from drivenet.modelspec import spec_path


@dataclass(frozen=True)
class Choice:
    """A backend and, in one clause for people, why it is that one."""

    backend: str
    why: str


def choose_among(known: tuple[str, ...], backend: str, file: Path | None, precision: str) -> Choice:
    """See :func:`drivenet.engine.choose`."""
    if backend != "auto":
        if backend not in known:
            raise UsageError(f"no backend {backend!r}", cure=nearest(backend, ["auto", *known]))
        return Choice(backend, "it was asked for")
    made_for = backend_of(file) if file else None
    if made_for:
        return Choice(made_for, f"{file} is made for it")
    against = {"tensorrt": _against_tensorrt(file, precision), "openvino": _against_openvino(file)}
    for name, obstacle in against.items():
        if not obstacle:
            return Choice(name, _why(name, against))
    return Choice("onnxruntime", _why("onnxruntime", against))


def _why(name: str, against: dict[str, str]) -> str:
    """What speaks for a backend, and against those that go before it."""
    good = {
        "tensorrt": "there is a GPU with TensorRT",
        "openvino": "it is the fastest here",
        "onnxruntime": "it runs everywhere that drivenet is installed",
    }
    passed = [f"{other} not: {obstacle}" for other, obstacle in against.items() if obstacle and other != name]
    return "; ".join([good[name], *passed])


def _against_tensorrt(file: Path | None, precision: str) -> str:
    """What keeps TensorRT from being used, empty if nothing does."""
    if probe().missing:
        return probe().missing
    if importlib.util.find_spec("tensorrt") is None:
        return "the package tensorrt is missing"
    if file is None:
        return ""
    try:
        built = find_built(file, "tensorrt", precision)
    except (DrivenetError, OSError) as error:
        return str(error)
    wanted = "fp16" if precision == "auto" else precision
    return "" if built else f"no engine was built from it: {build_command(file, 'tensorrt', wanted)}"


def _against_openvino(file: Path | None) -> str:
    if importlib.util.find_spec("openvino") is None:
        return "the package openvino is missing"
    from drivenet.engine.cpu_features import native_precisions, needed_for

    if file is None or not spec_path(file).is_file():
        return ""
    try:
        precision = read_spec_json(spec_path(file)).precision
    except DrivenetError as error:
        return str(error)
    return "" if precision in native_precisions() else f"{precision} needs {needed_for(precision)}"
