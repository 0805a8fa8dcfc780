"""Single things of a class map: what they are, how they are parted, measured and followed over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Which thing each pixel belongs to, (H', W') uint8: 0 none, k the k-th of a list that goes with it.
InstanceMap = npt.NDArray[np.uint8]
#: So many things an image can have: 255 stays free for "ignore" in files.
MOST_THINGS = 254
#: In 8-bit instance maps of data sets: nobody knows which thing it is. Such pixels neither teach nor count.
UNSURE = 255


@dataclass(frozen=True)
class Thing:
    """One vehicle, person or sign.

    Args:
        cls: the class that most of its pixels have; of a thing with an id, that it had in most of its frames.
        box: x, y, width, height in source-frame pixels.
        area: fraction of the frame, 0..1.
        centroid: x, y in source-frame pixels.
        id: lasts over the frames of a source, from 1 on; 0 where things are not tracked.
        age_s: seconds since it was first seen.
        velocity: of its centroid in the image, x, y in source-frame pixels a second.
        score: how sure its centre is, 0..1; None where things are connected components.
        group: the countable group of its class.
        trail: where its centroid was in the last second, oldest first, in source-frame pixels; empty without an id.
    """

    cls: str
    box: tuple[int, int, int, int]
    area: float
    centroid: tuple[float, float]
    id: int = 0
    age_s: float = 0.0
    velocity: tuple[float, float] = (0.0, 0.0)
    score: float | None = None
    group: str = ""
    trail: tuple[tuple[float, float], ...] = ()

    @property
    def name(self) -> str:
        """Class and, where it is tracked, id: ``car 12``."""
        return f"{self.cls} {self.id}" if self.id else self.cls

    def followed(
        self, cls: str, id_: int, age_s: float, velocity: tuple[float, float], trail: tuple[tuple[float, float], ...]
    ) -> Thing:
        """The same thing with an id and what comes with it (``dataclasses.replace`` takes thrice the time)."""
        return Thing(
            cls, self.box, self.area, self.centroid, id_, age_s, velocity, self.score, self.group, trail
        )  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """As members of JSON lines; ``id``, ``age_s`` and ``velocity`` only where it is tracked."""
        out: dict[str, object] = {"class": self.cls, "box": list(self.box), "area": round(self.area, 5)}
        if self.id:
            out |= {"id": self.id, "age_s": round(self.age_s, 3), "velocity": [round(v, 1) for v in self.velocity]}
        if self.score is not None:
            out["score"] = round(self.score, 3)
        return out
