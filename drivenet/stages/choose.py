"""Only some classes: what else there is counts as nothing."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from drivenet.labels import IGNORE_ID, LabelSet
from drivenet.record import Record
from drivenet.stages.base import Stage
from drivenet.things.pictures import wanted_classes

#: Name of the layer with the ids that were left out, uint8 as the class map's; 255 elsewhere.
LEFT_OUT = "left_out"


class ChooseClasses(Stage):
    """Replaces the class map by one in which all other classes are ignored (255): neither drawn nor measured.

    Args:
        labels: what the ids mean.
        names: of classes, or of groups, which stand for their classes.
        keeps: whether the layer :data:`LEFT_OUT` has the others, for a blur: what is not measured may have to be
            hidden, or not. Without it a blur hides them all.

    Raises:
        UsageError: for a name that is neither, with the nearest one.
    """

    name = "classes"

    def __init__(self, labels: LabelSet, names: Sequence[str], *, keeps: bool = True) -> None:
        wanted = wanted_classes(names, labels)
        self._keeps = keeps
        self._table = np.where(wanted, np.arange(256), IGNORE_ID).astype(np.uint8)

    def __call__(self, record: Record) -> Record:
        """Replace the class map."""
        ids = record.classmap.ids
        chosen = np.asarray(cv2.LUT(ids, self._table), np.uint8)
        found = record.with_ids(chosen)
        if not self._keeps:
            return found
        return found.with_layers(**{LEFT_OUT: np.where(chosen == IGNORE_ID, ids, np.uint8(IGNORE_ID))})
