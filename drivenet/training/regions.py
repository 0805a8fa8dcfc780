"""What the codes of a run are, by the kinds of things that light and weather tell apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.labels import LabelSet
from drivenet.training.sets import SetCodes

Mask = npt.NDArray[np.bool_]

#: Classes by kind, as Cityscapes and CamVid name them, in lower case.
KINDS = {
    "sky": ("sky",),
    "trees": ("tree", "vegetation"),
    "building": ("building",),
    "road": ("road",),
    "verge": ("terrain", "sidewalk", "pavement"),
    "pole": ("pole",),
    "light": ("traffic light",),
    "sign": ("traffic sign", "traffic light", "signsymbol"),
    "vehicle": ("car", "truck", "bus", "train"),
    "around": (
        "sky", "building", "tree", "vegetation", "terrain", "wall", "fence", "pole", "traffic light", "traffic sign",
        "signsymbol",
    ),
    "wall": ("wall", "building"),
    "rider": ("rider",),
    "two-wheeler": ("bicycle", "motorcycle"),
    "ground": ("road", "terrain", "sidewalk", "pavement"),
    "thing": (
        "person", "rider", "bicycle", "motorcycle", "car", "truck", "bus", "train", "pedestrian", "bicyclist",
    ),
}  # fmt: skip
#: Share of a row's pixels that are road where the road begins.
ROAD_BEGINS = 0.04


def walls(labels: LabelSet) -> frozenset[int]:
    """What the wall of a tunnel may be, as ids of the network's classes."""
    return frozenset(i for i, name in enumerate(labels.classes) if name.lower() in KINDS["wall"])


class Regions:
    """Masks by kind; a code counts where all that it may be is of the kind.

    Args:
        codes: of the run.
    """

    def __init__(self, codes: SetCodes) -> None:
        names = [name.lower() for name in codes.labels.classes]
        self.members = {kind: [i for i, n in enumerate(names) if n in some] for kind, some in KINDS.items()}
        self.tables = {kind: codes.within(members) for kind, members in self.members.items()}

    def __call__(self, kind: str, ids: Ids) -> Mask:
        """(H, W) bool: where that kind is."""
        return self.tables[kind][ids]

    def horizon(self, ids: Ids) -> int | None:
        """The row where the road begins, a little below the horizon; None without a road."""
        rows = np.flatnonzero(self("road", ids).mean(1) >= ROAD_BEGINS)
        return int(rows[0]) if rows.size else None
