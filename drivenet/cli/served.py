"""The engine that a run serves, and why it is that one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drivenet.artefacts.catalog import engine_file
from drivenet.artefacts.store import can_write
from drivenet.artefacts.timings import build_folder
from drivenet.config import NodeSettings
from drivenet.engine import choose, open_engine
from drivenet.engine.base import Engine
from drivenet.engine.candidates import candidates
from drivenet.engine.fastest import open_measured
from drivenet.host.cpu import physical_cores
from drivenet.sources import KINDS, kind_of

Tell = Callable[[str], None]
#: So many cores are too few for an engine on all of them and an encoder beside it.
_FEW_CORES = 2
#: About what drawing and encoding a frame of 960x540 takes of a core.
_LIGHT_MS = 10.0


def open_served(settings: NodeSettings, tell: Tell) -> Engine:
    """Open what the settings mean; where they leave the choice, the fastest that was measured here.

    Args:
        settings: of the node.
        tell: called with one line for people: what was chosen and why, and what is built meanwhile.

    Raises:
        DrivenetError: as :func:`drivenet.engine.open_engine`.
    """
    if settings.engine == "null":
        return open_engine("null", settings.backend, settings.precision, settings.threads)
    file = engine_file(settings.engine, settings.backend)
    if settings.rebuild:
        return _rebuilt(settings, file, tell)
    measured = _measured(settings, file, tell) if file is not None else None
    if measured is not None:
        engine, why = measured
    else:
        engine = open_engine(file, settings.backend, settings.precision, settings.threads)
        why = choose(settings.backend, file, settings.precision).why
    if settings.backend == "auto":
        tell(f"backend {engine.backend} {engine.precision}: {why}")
    return engine


def _measured(settings: NodeSettings, file: Path, tell: Tell) -> tuple[Engine, str] | None:
    """The fastest of what can serve a file, if more than one can and there are figures, or time to get them."""
    found = candidates(file, settings.backend, settings.precision)
    if not found or (settings.backend != "auto" and settings.precision != "auto"):
        return None
    free = settings.backend == settings.precision == "auto"
    keeps = can_write(build_folder(file))  # else nothing that is built or measured would be there next time
    waits = free and keeps and settings.background_build and _built_meanwhile(file, settings.threads, tell)
    return open_measured(
        file, found, settings.threads, may_measure=free and keeps and not waits,
        serve_threads=lambda ms: settings.threads or spared(settings, ms),
    )  # fmt: skip


def spared(settings: NodeSettings, ms: float) -> int | None:
    """Threads of the engine, where every frame of a recording is drawn and encoded on two cores: a light one leaves one
    of them to that. None for all.

    Each of two threads would wait in every layer for the other one, whose core the encoder has: with one thread 1.1
    times as many frames a second are recorded (``benchmarks/compare_loops.py``). A heavy engine needs both, and for a
    live source it would be slower.

    Args:
        settings: of the node.
        ms: an inference on all cores.
    """
    source, cores = settings.source, physical_cores()
    if not (source and settings.out and 1 < cores <= _FEW_CORES and ms <= _LIGHT_MS):
        return None
    offline = settings.policy == "every" or (settings.policy is None and KINDS[kind_of(source)].recorded)
    return cores - 1 if offline else None


def _built_meanwhile(file: Path, threads: int | None, tell: Tell) -> bool:
    """Whether something of a model is being built, now or already; it is started here if it can be."""
    from drivenet.build import background
    from drivenet.build.missing import being_built, missing

    if being_built(file):
        tell("faster engines are still being built in idle time; drivenet build --all does it at once")
        return True
    absent = missing(file, threads)
    if absent:
        names = ", ".join(f"{request.backend} {request.precision}" for request in absent)
        tell(f"built in the background for the next run: {names}")
        background.start(file, threads)
    return bool(absent)


def _rebuilt(settings: NodeSettings, file: Path | None, tell: Tell) -> Engine:
    from drivenet.build.rebuild import open_or_rebuild
    from drivenet.build.rebuild_request import request_for

    return open_or_rebuild(request_for(file, settings.backend, settings.precision), settings.threads, tell)
