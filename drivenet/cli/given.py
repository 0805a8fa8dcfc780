"""Options that would do nothing where they are given are refused."""

from __future__ import annotations

from collections.abc import Collection

import click
from click.core import ParameterSource

from drivenet.errors import UsageError


def refuse(names: Collection[str], beside: str, expected: str) -> None:
    """UsageError if the command line gives one of these options, by the names of their parameters, a value."""
    context = click.get_current_context()
    found = [
        _written(option, context.params[option.name])
        for option in context.command.params
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]
    if found:
        raise UsageError(f"{', '.join(found)} with {beside}", expected)


def _written(option: click.Parameter, value: object) -> str:
    """The flag as a user writes it."""
    return (option.secondary_opts if value is False else option.opts)[-1]
