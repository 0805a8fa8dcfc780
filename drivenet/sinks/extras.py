"""Packages that only some outputs need."""

from __future__ import annotations

import importlib

from drivenet.errors import UsageError


def need(module: str, what: str, extra: str) -> None:
    """UsageError that names the extra to install if a module that ``what`` needs is not there."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{what} without {error.name}", f"the extra [{extra}]", f'pip install "drivenet[{extra}]"'
        ) from error
