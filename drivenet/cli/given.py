"""Options that would do nothing where they are given are refused."""

from __future__ import annotations

from collections.abc import Collection

import click
from click.core import ParameterSource

from drivenet.errors import UsageError


def refuse(names: Collection[str], beside: str, expected: str) -> None:
    """UsageError if the command line gives one of these options, by the names of their parameters, a value."""
    if found := given(names):
        raise UsageError(f"{', '.join(found)} with {beside}", expected)


def given(names: Collection[str]) -> list[str]:
    """Which of these options, by the names of their parameters, the command line gives a value, as users write them."""
    context = click.get_current_context()
    return [
        _written(option, context.params[option.name])
        for option in context.command.params
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]


def _written(option: click.Parameter, value: object) -> str:
    """The flag as a user writes it."""
    return (option.secondary_opts if value is False else option.opts)[-1]
