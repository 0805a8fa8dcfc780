"""Size, place and class of every thing of an instance map."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.labels import LabelSet
from drivenet.things import InstanceMap, Thing

Ints = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """One row a thing, in the order of the instance map's numbers, in pixels of that map.

    Args:
        boxes: (n, 4) x, y, width, height.
        areas: (n,) pixels.
        centroids: (n, 2) x, y; pixel (0, 0) has its centre at 0.5, 0.5.
        classes: (n,) the id that most pixels have, the smaller of two equal ones.
        x, y: columns and rows of all pixels, thing by thing.
        starts: (n,) where each thing's pixels begin in them.
    """

    boxes: Ints
    areas: Ints
    centroids: Floats
    classes: Ints
    x: Pixels
    y: Pixels
    starts: Ints

    def things(
        self, labels: LabelSet, size: tuple[int, int], frame: tuple[int, int], scores: Floats | None = None
    ) -> list[Thing]:
        """The things in units of the source frame.

        Args:
            labels: what the class ids mean.
            size, frame: (height, width) of the instance map and of the source frame.
            scores: (n,) of 0..1, if there are any.
        """
        sy, sx = frame[0] / size[0], frame[1] / size[1]
        out = []
        names = [labels.classes[c] for c in self.classes.tolist()]
        for i, (x, y, w, h) in enumerate(self.boxes.tolist()):
            x0, y0 = min(round(x * sx), frame[1] - 1), min(round(y * sy), frame[0] - 1)
            x1, y1 = max(x0 + 1, round((x + w) * sx)), max(y0 + 1, round((y + h) * sy))
            out.append(
                Thing(
                    cls=names[i],
                    group=labels.groups[names[i]],
                    box=(x0, y0, x1 - x0, y1 - y0),
                    area=float(self.areas[i]) / (size[0] * size[1]),
                    centroid=(round(float(self.centroids[i, 0]) * sx, 1), round(float(self.centroids[i, 1]) * sy, 1)),
                    score=None if scores is None else float(scores[i]),
                )
            )
        return out


def places(kinds: npt.NDArray[np.uint8]) -> Ints:
    """Where in memory a map (H', W') is not 0, ascending."""
    _, top, _, height = cv2.boundingRect(kinds)
    return np.asarray(np.flatnonzero(kinds[top : top + height] != 0) + top * kinds.shape[1])


def measure(instances: InstanceMap, ids: Ids, count: int) -> Measured:
    """Measure the things 1 .. ``count`` of an instance map, each of which has a pixel.

    Args:
        instances: (H', W') uint8.
        ids: (H', W') uint8 class ids.
        count: how many things there are.
    """
    pixels = places(instances)
    of = instances.ravel()[pixels]
    order = np.argsort(of, kind="stable")  # radix sort of bytes; rows stay in order within a thing
    pixels, of = pixels[order], of[order]
    width = np.uint32(instances.shape[1])
    y = pixels.astype(np.uint32) // width
    x = pixels.astype(np.uint32) - y * width
    areas = np.bincount(of, minlength=count + 1)[1:]
    starts = np.concatenate([[0], np.cumsum(areas)[:-1]]).astype(np.int64)
    if not count:
        return Measured(np.zeros((0, 4), np.int64), areas, np.zeros((0, 2)), areas, x, y, areas)
    x0, x1 = np.minimum.reduceat(x, starts).astype(np.int64), np.maximum.reduceat(x, starts).astype(np.int64)
    y0, y1 = y[starts].astype(np.int64), y[starts + areas - 1].astype(np.int64)
    sums = np.stack([np.add.reduceat(x, starts, dtype=np.int64), np.add.reduceat(y, starts, dtype=np.int64)], 1)
    votes = np.bincount(of.astype(np.int64) * 256 + ids.ravel()[pixels], minlength=(count + 1) * 256)
    return Measured(
        np.stack([x0, y0, x1 - x0 + 1, y1 - y0 + 1], 1),
        areas,
        sums / areas[:, None] + 0.5,
        votes.reshape(-1, 256)[1:].argmax(1),
        x,
        y,
        starts,
    )


def of_one_class(ids: Ids, instances: InstanceMap) -> Ids:
    """Class ids (H', W') in which each thing has the class that most of its pixels have."""
    classes = measure(instances, ids, int(instances.max(initial=0))).classes
    table = np.concatenate([[0], classes]).astype(np.uint8)
    return np.where(instances > 0, table[instances], ids)
