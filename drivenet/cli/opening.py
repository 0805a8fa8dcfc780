"""Sources and engines as settings ask for them, closed again where the run does not begin."""

from __future__ import annotations

from contextlib import ExitStack

from drivenet.cli.output import console
from drivenet.cli.served import open_served
from drivenet.config import NodeSettings
from drivenet.engine.base import Engine
from drivenet.engine.watched import Watched
from drivenet.sources import open_source
from drivenet.sources.base import Source


def open_source_of(settings: NodeSettings, opened: ExitStack) -> Source:
    """The settings' one source."""
    source = open_source(
        settings.source or "", rate=settings.rate, paced=settings.policy != "every", damaged=settings.damaged,
        patient=settings.headless and not settings.strict,  # nobody is there to see an error
    )  # fmt: skip
    opened.callback(source.close)
    return source


def open_engine_of(settings: NodeSettings, opened: ExitStack) -> Engine:
    """The engine that serves."""
    engine: Engine = Watched(lambda: open_served(settings, console.print))
    opened.callback(engine.close)
    return engine
