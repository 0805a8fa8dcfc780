"""Engines: what turns a prepared picture into class ids. A backend is imported only when it is named."""

from __future__ import annotations

from pathlib import Path
from typing import SupportsIndex, get_args

from drivenet.artefacts.catalog import engine_file
from drivenet.backends import BACKENDS
from drivenet.engine.base import Engine
from drivenet.engine.choice import choose
from drivenet.errors import EngineError, UsageError, nearest, wrapped
from drivenet.host.cpu import physical_cores
from drivenet.modelspec import Precision

__all__ = ["BACKENDS", "PRECISIONS", "choose", "open_engine", "open_like", "open_unproven"]

PRECISIONS = ("auto", *get_args(Precision))


def open_engine(
    engine: str | Path | None = None, backend: str = "auto", precision: str = "auto", threads: int | None = None,
    lanes: int = 1,
) -> Engine:  # fmt: skip
    """Load an artefact and try it on two pictures.

    Args:
        engine: an ONNX or a compiled artefact, or a name that ``drivenet models`` lists. None for the default; with
            the backend ``null``, for a spec that is made up; ``null`` names that as well.
        backend: ``auto`` or one of :data:`BACKENDS`; :func:`choose` tells what ``auto`` means and why.
        precision: ``auto`` takes what the artefact has; anything else must be what the backend really computes.
        threads: of the processor; None = one a physical core that this process may use.
        lanes: how many such engines share the threads; of no effect where it is not the processor that computes.

    Raises:
        UsageError: for an unknown backend or precision, or a precision that the artefact does not have.
        ModelSpecError: for an artefact that does not say how to use it, or contradicts itself.
        EngineError: for one that is not there, or cannot be loaded or run.
    """
    if engine == "null" and backend in ("auto", "null"):  # named as models are
        engine, backend = None, "null"
    file = engine_file(engine, backend)
    chosen = choose(backend, file, precision).backend
    if precision not in PRECISIONS:
        raise UsageError(f"no precision {precision!r}", cure=nearest(precision, PRECISIONS))
    if threads is not None and not (isinstance(threads, SupportsIndex) and threads.__index__() >= 1):
        raise UsageError(f"{threads!r} threads", "a whole number of at least 1")
    try:
        opens = BACKENDS[chosen].load("open")
        each = _threads_each(threads, lanes) if getattr(opens, "on_cpu", False) else threads
        opened: Engine = opens(file, precision, each)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - raised again
        ours = wrapped(EngineError, f"the backend {chosen} cannot open {file or 'an engine'}", error)
        raise ours from ours.__cause__
    return opened


def _threads_each(threads: int | None, lanes: int) -> int | None:
    """How many threads each of several lanes has: its part of ``threads``, or of one a physical core for None."""
    return threads if lanes == 1 else max(1, (threads or physical_cores()) // lanes)


def open_like(engine: Engine, threads: int | None, lanes: int = 1) -> Engine:
    """Another engine that computes what one does, with other threads of the processor.

    Args:
        engine: may be closed.
        threads, lanes: as for :func:`open_engine`.

    Raises:
        EngineError: as :func:`open_engine`.
    """
    return open_engine(engine.file, engine.backend, engine.precision, threads=threads, lanes=lanes)


def open_unproven(artefact: Path, backend: str) -> Engine:
    """Open an artefact that was just built and not yet compared with its reference; for the comparison alone.

    Raises:
        EngineError: as :func:`open_engine`.
    """
    engine: Engine = BACKENDS[backend].load("open")(artefact, "auto", None, unproven=True)
    return engine
