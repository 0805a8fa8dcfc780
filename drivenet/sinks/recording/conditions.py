"""When a result is an event: ``pedestrian>5%``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivenet.errors import UsageError, nearest
from drivenet.labels import GROUPS, LabelSet
from drivenet.result import Result

_CONDITION = re.compile(r"\s*([^<>=]+?)\s*>\s*(\d+(?:\.\d+)?)\s*(%?)\s*")
_EXPECTED = "GROUP>FRACTION or CLASS>FRACTION such as pedestrian>5% or pedestrian>0.05"


@dataclass(frozen=True)
class Condition:
    """Something takes more than a fraction of the frame.

    Args:
        name: a group or a class.
        fraction: of the frame, 0 to 1.
    """

    name: str
    fraction: float

    def holds(self, result: Result) -> bool:
        """Whether it is so in a result."""
        scene = result.scene
        return scene.groups.get(self.name, scene.classes.get(self.name, 0.0)) > self.fraction


def parse_condition(text: str, labels: LabelSet) -> Condition:
    """A condition from text; UsageError for what is none, or names neither a group nor a class."""
    match = _CONDITION.fullmatch(text)
    fraction = float(match[2]) / (100 if match[3] else 1) if match else 2.0
    if not match or fraction >= 1:
        raise UsageError(f"condition {text!r}", _EXPECTED)
    known = [*GROUPS, *labels.classes]
    if match[1] not in known:
        raise UsageError(f"condition {text!r} names {match[1]}", "a group or a class", nearest(match[1], known))
    return Condition(match[1], fraction)


def any_of(texts: Sequence[str], labels: LabelSet) -> Callable[[Result], bool]:
    """Whether one of several conditions holds; UsageError as above."""
    conditions = [parse_condition(text, labels) for text in texts]
    return lambda result: any(condition.holds(result) for condition in conditions)
