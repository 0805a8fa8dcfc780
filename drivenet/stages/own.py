"""Stages of one's own, by where their class is: ``FILE.py:CLASS`` or ``MODULE:CLASS``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from drivenet.errors import UsageError, nearest
from drivenet.stages.base import Stage

_EXPECTED = "FILE.py:CLASS or MODULE:CLASS of a drivenet.Stage"


def open_stage(named: str) -> Stage:
    """Make one of a stage's class, without arguments.

    Args:
        named: a Python file or an importable module, and the name of the class in it.

    Raises:
        UsageError: as :func:`stage_class`, or if it cannot be made.
    """
    found = stage_class(named)
    try:
        return found()
    except Exception as error:
        raise UsageError(f"stage {named} cannot be made: {_why(error)}", "a class that takes no arguments") from error


def stage_class(named: str) -> Callable[[], Stage]:
    """Import a stage's class; UsageError if there is no such file, module or class, or if it is no stage."""
    place, _, name = named.rpartition(":")
    if not place or not name.isidentifier():
        raise UsageError(f"stage {named!r}", _EXPECTED)
    try:
        module = _file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:
        raise UsageError(f"stage {named} cannot be imported: {_why(error)}", _EXPECTED) from error
    stages = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, Stage)]
    if name not in stages:
        others = [key for key in stages if key != Stage.__name__]
        raise UsageError(f"no stage {name!r} in {place}", _EXPECTED, nearest(name, others) if others else "")
    found: Callable[[], Stage] = getattr(module, name)
    return found


def _file(path: Path) -> ModuleType:
    """The module of a Python file, run once: several sources have stages of one class."""
    path = path.resolve()
    known = f"drivenet_stage_{abs(hash(str(path)))}"
    if known in sys.modules:
        return sys.modules[known]
    spec = importlib.util.spec_from_file_location(known, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[known] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[known]
        raise
    return module


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
