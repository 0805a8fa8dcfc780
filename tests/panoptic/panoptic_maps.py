"""A small label set and random panoptic maps in it."""

from __future__ import annotations

import numpy as np

from drivenet.labels import LabelSet
from drivenet.panoptic import thing_table

#: Four classes: two of stuff, two of things.
LABELS = LabelSet(
    "small",
    ("road", "sky", "car", "person"),
    ((1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)),
    {"road": "road", "sky": "background", "car": "vehicle", "person": "pedestrian"},
)
THINGS = ("car", "person")
TABLE = thing_table(LABELS, THINGS)
SHAPE = (24, 32)


def random_maps(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """True and predicted ids and instances that resemble each other, with void pixels and crowds."""
    ids, instances = np.full(SHAPE, rng.integers(2), np.uint8), np.zeros(SHAPE, np.int64)
    boxes = [tuple(rng.integers((0, 0, 3, 3), (20, 28, 12, 16))) for _ in range(rng.integers(2, 9))]
    for number, (y, x, h, w) in enumerate(boxes):
        cls = int(rng.choice([0, 1, 2, 3, 3, 2, 255]))
        ids[y : y + h, x : x + w] = cls
        instances[y : y + h, x : x + w] = number + 1 if cls in (2, 3) and rng.random() < 0.8 else 0
    predicted, found = ids.copy(), instances.copy()
    predicted[ids == 255] = rng.integers(4)
    for number, (y, x, h, w) in enumerate(boxes):
        move = rng.integers(-2, 3, 2)
        if rng.random() < 0.5:
            part = np.s_[max(0, y + move[0]) : y + move[0] + h, max(0, x + move[1]) : x + move[1] + w]
            predicted[part] = rng.integers(4)
            found[part] = number + 50
    found[(predicted == 2) | (predicted == 3)] += 1
    found[(predicted < 2)] = 0
    return ids, instances, predicted, found
