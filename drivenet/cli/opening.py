"""Sources and engines as settings ask for them, closed again where the run does not begin."""

from __future__ import annotations

import gc
from contextlib import ExitStack

import cv2

from drivenet.cli.output import console
from drivenet.cli.served import is_offline, lanes_of, open_served
from drivenet.config import NodeSettings
from drivenet.engine.base import Engine
from drivenet.engine.laned import in_lanes
from drivenet.engine.watched import Watched
from drivenet.sources import open_source
from drivenet.sources.base import Source
from drivenet.supervise.beat import is_supervised


def open_source_of(settings: NodeSettings, opened: ExitStack) -> Source:
    """The settings' one source.

    Where nobody is there to see an error it may be away at first, unless its address looks wrong. Under a supervisor,
    which starts it at boot before networks and names are there, or with ``--wait``, it may be away for any reason.
    """
    waits = settings.wait or is_supervised()
    source = open_source(
        settings.source or "", rate=settings.rate, paced=settings.policy != "every", damaged=settings.damaged,
        loop=settings.loop,
        patient=waits or (settings.headless and not settings.strict), forgiving=waits,
    )  # fmt: skip
    opened.callback(source.close)
    return source


def open_engine_of(settings: NodeSettings, opened: ExitStack) -> Engine:
    """The engine that serves; where it computes on the processor and no frame waits for another one, several of it."""
    lanes = lanes_of(settings)
    first = Watched(lambda: open_served(settings, console.print, lanes))
    engine = in_lanes(first, lanes, Watched, at_once=not is_offline(settings))
    opened.callback(engine.close)
    return engine


def begin_alone() -> None:
    """Set the process up for a run: nothing in it works but for frames."""
    _keep_loaded()
    _keep_to_own_threads()


def _keep_loaded() -> None:
    """Spare the garbage collector what is loaded by now: it would look through all of it every some seconds, and no
    thread of the run gets on meanwhile.
    """
    gc.freeze()


def _keep_to_own_threads() -> None:
    """Have OpenCV work in the threads that call it. Its own ones wait for the next picture by yielding their core some
    thousand times, which takes as long as their part of the picture, on every core that the engine could have.
    """
    cv2.setNumThreads(1)
