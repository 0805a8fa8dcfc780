"""A node's budget: the engines that it may step to, and when."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from drivenet.artefacts.catalog import models_in
from drivenet.artefacts.spec_json import read_spec_json
from drivenet.cli.opening import open_engine_of
from drivenet.config import NodeSettings
from drivenet.engine.base import Engine
from drivenet.engine.stepped import Stepped
from drivenet.errors import UsageError
from drivenet.host.throttling import Throttling
from drivenet.modelspec import ModelSpec
from drivenet.pipeline.budget import Budget, ladder


def open_engines(settings: NodeSettings, opened: ExitStack) -> list[Engine]:
    """The engine that serves and, where there is a budget, one with a smaller input.

    Raises:
        UsageError: for a budget's engine of an input that is not smaller.
    """
    engine = open_engine_of(settings, opened)
    if settings.budget_ms is None:
        return [engine]
    name = settings.budget_engine or smaller_than(engine.spec)
    if name is None:
        return [engine]
    small = open_engine_of(settings.model_copy(update={"engine": name}), opened)
    if _pixels(small.spec) >= _pixels(engine.spec):
        sizes = " and ".join(f"{spec.input[1]}x{spec.input[0]}" for spec in (small.spec, engine.spec))
        raise UsageError(f"--budget-engine and --engine with inputs of {sizes}", "a smaller one for the budget")
    return [engine, small]


def as_one(engines: Sequence[Engine]) -> Engine:
    """The engine of a run."""
    return engines[0] if len(engines) == 1 else Stepped(engines)


def budget_of(settings: NodeSettings, engines: int) -> Budget | None:
    """What keeps a run in time; None where nothing does. Each source has its own."""
    if settings.budget_ms is None:
        return None
    return Budget(settings.budget_ms, ladder(engines), Throttling())


def smaller_than(spec: ModelSpec) -> str | None:
    """The model on the search path with the next smaller input and the same classes; of two the precision of this."""
    found = []
    for name, file in models_in().items():
        other = read_spec_json(file.with_suffix(".json"))
        if other.labels.classes == spec.labels.classes and _pixels(other) < _pixels(spec):
            found.append((_pixels(other), other.precision == spec.precision, name))
    return max(found)[2] if found else None


def _pixels(spec: ModelSpec) -> int:
    return spec.input[0] * spec.input[1]
