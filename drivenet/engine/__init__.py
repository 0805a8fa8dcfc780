"""Engines: what turns a prepared picture into class ids. A backend is imported only when it is named."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import SupportsIndex, get_args

from drivenet.artefacts.catalog import engine_file
from drivenet.engine.base import Engine
from drivenet.engine.choice import Choice, choose_among
from drivenet.errors import EngineError, UsageError, nearest
from drivenet.modelspec import Precision

#: Where each backend lives: ``module:Class``. The class takes (file, precision, threads).
BACKENDS = {
    "null": "drivenet.engine.null:NullEngine",
    "onnxruntime": "drivenet.engine.onnxruntime.engine:OnnxRuntimeEngine",
    "openvino": "drivenet.engine.openvino.engine:OpenVinoEngine",
    "tensorrt": "drivenet.engine.tensorrt.engine:TensorRtEngine",
}
PRECISIONS = ("auto", *get_args(Precision))


def choose(backend: str = "auto", file: Path | None = None, precision: str = "auto") -> Choice:
    """Which backend a request means.

    Args:
        backend: ``auto`` or one of :data:`BACKENDS`. ``auto`` takes tensorrt where there is a GPU and an engine that
            was built from the file, else openvino where it is installed, else onnxruntime; a compiled artefact
            goes to the backend that it is made for.
        file: what is to be run; None asks for the machine alone.
        precision: what is to be computed.

    Raises:
        UsageError: for a backend that does not exist, naming those that do.
    """
    return choose_among(tuple(BACKENDS), backend, file, precision)


def open_engine(
    engine: str | Path | None = None, backend: str = "auto", precision: str = "auto", threads: int | None = None
) -> Engine:
    """Load an artefact and try it on two pictures.

    Args:
        engine: an ONNX or a compiled artefact, or a name that ``drivenet models`` lists. None for the default; with
            the backend ``null``, for a spec that is made up.
        backend: ``auto`` or one of :data:`BACKENDS`; :func:`choose` tells what ``auto`` means and why.
        precision: ``auto`` takes what the artefact has; anything else must be what the backend really computes.
        threads: of the processor; None = one a physical core that this process may use.

    Raises:
        UsageError: for an unknown backend or precision, or a precision that the artefact does not have.
        ModelSpecError: for an artefact that does not say how to use it, or contradicts itself.
        EngineError: for one that is not there, or cannot be loaded or run.
    """
    file = engine_file(engine, backend)
    chosen = choose(backend, file, precision).backend
    if precision not in PRECISIONS:
        raise UsageError(f"no precision {precision!r}", cure=nearest(precision, PRECISIONS))
    if threads is not None and not (isinstance(threads, SupportsIndex) and threads.__index__() >= 1):
        raise UsageError(f"{threads!r} threads", "a whole number of at least 1")
    opened: Engine = _load(chosen)(file, precision, threads)
    return opened


def _load(backend: str) -> type:
    """The class of a backend, imported now."""
    module, name = BACKENDS[backend].split(":")
    try:
        found: type = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise EngineError(
            f"the backend {backend} cannot be imported: {error}", cure="install drivenet with what it needs"
        ) from error
    return found


def machine(backend: str) -> dict[str, str]:
    """What this machine is to a backend that compiles, as passports state it.

    Raises:
        EngineError: where it lacks what the backend needs.
    """
    if backend == "openvino":
        from drivenet.engine.openvino import model

        return model.machine()
    from drivenet.engine.cuda.driver import require_gpu
    from drivenet.engine.tensorrt import engine as tensorrt
    from drivenet.engine.tensorrt.session import import_tensorrt

    gpu = require_gpu()
    return tensorrt.machine(import_tensorrt(), gpu)


def open_unproven(artefact: Path, backend: str) -> Engine:
    """Open an artefact that was just built and not yet compared with its reference; for the comparison alone.

    Raises:
        EngineError: as :func:`open_engine`.
    """
    engine: Engine = _load(backend)(artefact, "auto", None, unproven=True)
    return engine
