"""The engine that a run serves, and why it is that one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from drivenet.address import scheme_of
from drivenet.artefacts.catalog import engine_file
from drivenet.artefacts.store import can_write
from drivenet.artefacts.timings import build_folder
from drivenet.config import NodeSettings
from drivenet.engine import choose, open_engine
from drivenet.engine.base import Engine
from drivenet.engine.candidates import candidates
from drivenet.engine.fastest import known_ms, open_measured
from drivenet.engine.laned import most_lanes
from drivenet.sources import KINDS, kind_of

Tell = Callable[[str], None]
#: Frames a second of a live source, which tells its rate only once it is open.
_LIVE_RATE = 30.0
#: Share of the time between two frames that an inference takes, with nothing beside it, where two at a time keep up and
#: one does not: below it one is enough and each result is there earlier, above it two do not keep up either. (17 ms
#: alone were 25 ms beside decoding, drawing and encoding on two cores, and frames of 30 Hz were dropped.)
_LATE = 0.45, 1.25


def open_served(settings: NodeSettings, tell: Tell, lanes: int = 1) -> Engine:
    """Open what the settings mean; where they leave the choice, the fastest that was measured here.

    Args:
        settings: of the node.
        tell: called with one line for people: what was chosen and why, and what is built meanwhile.
        lanes: how many such engines share the processor's threads.

    Raises:
        DrivenetError: as :func:`drivenet.engine.open_engine`.
    """
    if settings.engine == "null":
        return open_engine("null", settings.backend, settings.precision, settings.threads)
    file = engine_file(settings.engine, settings.backend)
    if settings.rebuild:
        return _rebuilt(settings, file, tell, lanes)
    measured = _measured(settings, file, tell, lanes) if file is not None else None
    if measured is not None:
        engine, why = measured
    else:
        engine = open_engine(file, settings.backend, settings.precision, settings.threads, lanes)
        why = choose(settings.backend, file, settings.precision).why
    if settings.backend == "auto":
        tell(f"backend {engine.backend} {engine.precision}: {why}")
    return engine


def _measured(settings: NodeSettings, file: Path, tell: Tell, lanes: int) -> tuple[Engine, str] | None:
    """The fastest of what can serve a file, if more than one can and there are figures, or time to get them."""
    found = candidates(file, settings.backend, settings.precision)
    if not found or (settings.backend != "auto" and settings.precision != "auto"):
        return None
    free = settings.backend == settings.precision == "auto"
    keeps = can_write(build_folder(file))  # else nothing that is built or measured would be there next time
    waits = free and keeps and settings.background_build and _built_meanwhile(file, settings.threads, tell)
    may_measure = free and keeps and not waits
    return open_measured(file, found, settings.threads, may_measure=may_measure, lanes=lanes)


def lanes_of(settings: NodeSettings) -> int:
    """How many frames a run has at the engine at a time: several where frames a second count, not how long one takes:
    for a recording that is processed as fast as it can be, and for several sources; two where frames that come by the
    clock are recorded, and one at a time, by what was measured here, takes nearly as long as until the next or a little
    longer.

    Args:
        settings: of the node.
    """
    if settings.lanes is not None:
        return settings.lanes
    most = most_lanes(settings.threads)
    if most == 1 or settings.budget_ms is not None:
        return 1
    if len(settings.sources) > 1:
        return most
    if is_offline(settings):
        return min(most, _most_frames(settings))
    return 2 if _is_recorded(settings) and _is_late(settings) else 1


def _is_recorded(settings: NodeSettings) -> bool:
    """Whether results go to files, in which a frame that is missing is worse than one that comes later."""
    return settings.stats not in (None, "-") or any(not scheme_of(target) for target in settings.out)


def _is_late(settings: NodeSettings) -> bool:
    """Whether two frames at the engine keep up with the source where one does not."""
    file = None if settings.engine == "null" else engine_file(settings.engine, settings.backend)
    ms = file and known_ms(file, settings.backend, settings.precision, settings.threads)
    share = (ms or 0.0) * (settings.rate or _LIVE_RATE) / 1000
    return _LATE[0] < share < _LATE[1]


def is_offline(settings: NodeSettings) -> bool:
    """Whether the one source is processed as fast as it can be, and no frame waits for its time."""
    if not settings.source or settings.rate:
        return False
    kind = KINDS[kind_of(settings.source)]
    is_live = kind.device or scheme_of(settings.source) in kind.streams
    return kind.recorded if settings.policy is None else settings.policy == "every" and not is_live


def _most_frames(settings: NodeSettings) -> int:
    """How many frames there are at most, where that is known before the source is opened."""
    one_picture = (
        not settings.loop and kind_of(str(settings.source)) == "images" and Path(str(settings.source)).is_file()
    )
    return 1 if one_picture else settings.max_frames or sys.maxsize


def _built_meanwhile(file: Path, threads: int | None, tell: Tell) -> bool:
    """Whether something of a model is being built, now or already; it is started here if it can be."""
    from drivenet.build import background
    from drivenet.build.missing import being_built, has_room, missing

    if being_built(file):
        tell("faster engines are still being built in idle time; drivenet build --all does it at once")
        return True
    absent = missing(file, threads)
    if absent and not has_room(file):
        tell(f"no room in {build_folder(file)} to build faster engines")
    elif absent:
        names = ", ".join(f"{request.backend} {request.precision}" for request in absent)
        tell(f"built in the background for the next run: {names}")
        background.start(file, threads)
    return bool(absent)


def _rebuilt(settings: NodeSettings, file: Path | None, tell: Tell, lanes: int) -> Engine:
    from drivenet.build.rebuild import open_or_rebuild
    from drivenet.build.rebuild_request import request_for

    return open_or_rebuild(request_for(file, settings.backend, settings.precision), settings.threads, tell, lanes)
