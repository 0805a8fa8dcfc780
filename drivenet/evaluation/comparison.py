"""What an engine's classes and a data set's are compared on, and the look-up tables that bring both there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivenet.errors import UsageError
from drivenet.label_mapping import LabelMapping
from drivenet.labels import GROUPS, IGNORE_ID, LabelSet

#: The groups as a label set of their own: what is left to compare when engine and truth have other classes.
GROUP_LABELS = LabelSet(
    "groups",
    GROUPS,
    ((128, 64, 128), (220, 220, 0), (220, 20, 60), (0, 0, 142), (0, 0, 0)),
    {group: group for group in GROUPS},
)
Table = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Comparison:
    """How two label sets are compared.

    Args:
        on: ``classes`` of the data set, or ``groups``.
        labels: the same as a label set; ids after both tables are of it.
        truth: (256,) uint8, from the data set's ids; 255 is not counted.
        predicted: (256,) uint8, from the engine's ids; 255 is wrong wherever there is truth.
        model: the engine's classes.
    """

    on: str
    labels: LabelSet
    truth: Table
    predicted: Table
    model: LabelSet


def compare(model: LabelSet, dataset: LabelSet, mapping: LabelMapping | None = None) -> Comparison:
    """The finest common ground of two label sets.

    The data set's classes where a mapping leads there from the model's: one that is given, equal classes, or one that
    ships. Else road, sign, pedestrian, vehicle and background. There, a group that the data set has no class of is
    background on both sides, and the truth's classes whose group the model cannot tell (bicycles for a model that knows
    cyclists as one) are left out.

    Raises:
        UsageError: for a mapping that leads from a class of the model to two of the data set.
    """
    mapping = mapping or _mapping(dataset, model)
    if mapping is None:
        return _by_groups(model, dataset)
    if not mapping.exclusive:
        raise UsageError(
            f"the mapping from {dataset.name} to {model.name} gives a class of {model.name} two places",
            f"one class of {dataset.name} for each",
        )
    return Comparison("classes", dataset, mapping.truth, mapping.to_dataset, model)


def _by_groups(model: LabelSet, dataset: LabelSet) -> Comparison:
    truth, predicted = dataset.group_table.copy(), model.group_table.copy()
    background = GROUPS.index("background")
    for i, group in enumerate(GROUPS):
        if not dataset.ids_of_group(group):
            predicted[predicted == i] = background
    if coarser := _mapping(model, dataset):
        for name, members in zip(model.classes, coarser.members, strict=True):
            others = [m for m in members if dataset.groups[dataset.classes[m]] != model.groups[name]]
            truth[others] = IGNORE_ID
    return Comparison("groups", GROUP_LABELS, truth, predicted, model)


def _mapping(dataset: LabelSet, model: LabelSet) -> LabelMapping | None:
    try:
        return LabelMapping.of(dataset, model)
    except UsageError:
        return None
