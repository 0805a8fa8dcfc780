"""The flags of ``drivenet build`` that one backend alone takes, from the descriptors of the backends."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, TypeVar

import click

from drivenet.backends import BACKENDS, BuildOption, compiling
from drivenet.cli.given import refuse

F = TypeVar("F", bound=Callable[..., Any])


def own_options(command: F) -> F:
    """The options of every backend that compiles; those of one name are one option."""
    taken: dict[str, list[str]] = {}
    known: dict[str, BuildOption] = {}
    for backend in compiling():
        for option in backend.options:
            taken.setdefault(option.name, []).append(backend.name)
            known.setdefault(option.name, option)
    for name, option in reversed(known.items()):
        command = _click_option(option, ", ".join(taken[name]))(command)
    return command


def take_own(backend: str, settings: MutableMapping[str, Any]) -> dict[str, Any]:
    """Take the options of all backends out of the settings and return those of one that have a value.

    Raises:
        UsageError: if the command line gives one of another backend.
    """
    own = {option.name for option in BACKENDS[backend].options}
    for other in compiling():
        foreign = [option.name for option in other.options if option.name not in own]
        refuse(foreign, f"--backend {backend}", f"--backend {other.name}")
        for name in foreign:
            settings.pop(name, None)
    given = {name: settings.pop(name) for name in own}
    return {name: value for name, value in given.items() if value is not None}


def _click_option(option: BuildOption, of: str) -> Callable[[F], F]:
    flag, told = option.name.replace("_", "-"), f"{of}: {option.help}"
    if option.kind == "flag":
        return click.option(f"--{flag}/--no-{flag}", default=option.default, show_default=True, help=told)
    return click.option(
        f"--{flag}",
        type=_click_type(option),
        metavar=option.metavar,
        default=option.default,
        show_default=option.default is not None,
        help=told,
    )


def _click_type(option: BuildOption) -> click.ParamType[Any] | None:
    if option.choices:
        return click.Choice(option.choices)
    if option.kind == "integer":
        return click.IntRange(min=option.minimum)
    return click.Path(path_type=Path, dir_okay=False) if option.kind == "path" else None
