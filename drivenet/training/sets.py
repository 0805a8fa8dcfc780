"""Labels of several data sets in one network: every label is a set of the network's classes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import numpy.typing as npt

from drivenet.errors import UsageError
from drivenet.label_mapping import LabelMapping
from drivenet.labels import IGNORE_ID, LabelSet


class SetCodes:
    """Numbers for the sets of classes that the labels of several data sets mean.

    The first codes are the network's classes, each a set of its own; larger sets follow. 255 is no truth.

    Args:
        labels: the network's classes.
        mappings: of the data sets' labels to them.
        more: sets that are needed besides.

    Raises:
        UsageError: if a byte cannot tell all of them and 255 apart.
    """

    def __init__(
        self, labels: LabelSet, mappings: Iterable[LabelMapping] = (), more: Iterable[frozenset[int]] = ()
    ) -> None:  # fmt: skip
        self.labels = labels
        self.sets: list[frozenset[int]] = [frozenset([i]) for i in range(len(labels))]
        for members in (*(m for mapping in mappings for m in mapping.members), *more):
            if members and members not in self.sets:
                self.sets.append(members)
        if len(self.sets) > IGNORE_ID:
            told = f"{len(labels)} classes and {len(self.sets) - len(labels)} sets of them that labels may be"
            raise UsageError(told, f"at most {IGNORE_ID} together", "merge classes, or sets of the mappings")

    def table(self, mapping: LabelMapping) -> npt.NDArray[np.uint8]:
        """Codes by the data set's class id, (256,) uint8; 255 for what means no class."""
        table = np.full(256, IGNORE_ID, np.uint8)
        for i, members in enumerate(mapping.members):
            if members:
                table[i] = self.sets.index(members)
        return table

    @property
    def members(self) -> npt.NDArray[np.bool_]:
        """Which classes a code may be, (256, classes) bool. Codes without a set, 255 too, may be all of them."""
        table = np.ones((256, len(self.labels)), bool)
        for code, members in enumerate(self.sets):
            table[code] = [i in members for i in range(len(self.labels))]
        return table

    def within(self, ids: Collection[int]) -> npt.NDArray[np.bool_]:
        """Codes that can be nothing but some of these classes, (256,) bool."""
        table = np.zeros(256, bool)
        table[: len(self.sets)] = [members <= set(ids) for members in self.sets]
        return table

    def holding(self, class_id: int) -> npt.NDArray[np.bool_]:
        """Codes that may be this class, (256,) bool."""
        table = np.zeros(256, bool)
        table[: len(self.sets)] = [class_id in members for members in self.sets]
        return table
