"""The options that say how an engine is opened, for the commands that open one without node settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from drivenet.engine import BACKENDS, PRECISIONS

_OPTIONS = (
    click.option("--backend", type=click.Choice(["auto", *sorted(BACKENDS)]), default="auto",
                 help="Backend that runs the engine; auto takes the fastest available [default: auto]."),
    click.option("--precision", type=click.Choice(PRECISIONS), default="auto",
                 help="Arithmetic precision; auto takes what the engine has [default: auto]."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads of each engine [default: physical cores]."),
)  # fmt: skip


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--backend``, ``--precision`` and ``--threads``, as arguments of these names."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
