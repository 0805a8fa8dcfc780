"""How much of the picture changes class from frame to frame where its motion says that it should not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.data.sequences.base import Flow, Mask
from drivenet.engine.base import Engine
from drivenet.engine.laned import in_order
from drivenet.errors import SourceError
from drivenet.evaluation.flow import carried, dis_flow, grid, inside
from drivenet.frame import Frame, Image
from drivenet.inference import checked_ids
from drivenet.labels import LabelSet
from drivenet.prepare import crop_bars, prepare, prepare_for

#: A point that the flow carries to the other frame and back may end this many pixels of the class map off.
ROUND_TRIP = 1.0
#: Brightness (0..255) may differ this much along the flow; more is something else that came into view.
BRIGHTNESS = 20
_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass
class Flicker:
    """Counts over the pairs of consecutive frames.

    Args:
        labels: what the ids mean.
        pairs: how many pairs of frames.
        pixels: all pixels of them.
        tracked: by class of the earlier frame, (n,) int64: pixels whose motion is certain.
        changed: of these, the pixels whose class is another one in the later frame.
        source: where the frames came from.
    """

    labels: LabelSet
    pairs: int = 0
    pixels: int = 0
    tracked: npt.NDArray[np.int64] = field(init=False)
    changed: npt.NDArray[np.int64] = field(init=False)
    source: str = ""

    def __post_init__(self) -> None:
        self.tracked = np.zeros(len(self.labels), np.int64)
        self.changed = np.zeros(len(self.labels), np.int64)

    @property
    def rate(self) -> float:
        """Share of the tracked pixels that changed class, 0..1; NaN if none could be tracked."""
        total = int(self.tracked.sum())
        return int(self.changed.sum()) / total if total else float("nan")

    @property
    def covered(self) -> float:
        """Share of all pixels that could be tracked, 0..1."""
        return int(self.tracked.sum()) / self.pixels if self.pixels else 0.0

    def __add__(self, other: Flicker) -> Flicker:
        """The counts of both; of one label set."""
        both = Flicker(self.labels, self.pairs + other.pairs, self.pixels + other.pixels, self.source or other.source)
        both.tracked, both.changed = self.tracked + other.tracked, self.changed + other.changed
        return both

    def add(
        self, before: tuple[Image, Ids], after: tuple[Image, Ids], flows: tuple[Flow, Flow] | None = None
    ) -> None:  # fmt: skip
        """Count one pair of consecutive frames.

        A pixel counts as changed only if its class is not among the nine pixels around the place that it came
        from: an edge that moves by a part of a pixel is no flicker.

        Args:
            before: (H, W) uint8 grey picture and ids of the earlier frame, equally large.
            after: the same of the later frame.
            flows: from the later to the earlier frame and back, where they are known; DIS without.
        """
        back, forth = flows or (dis_flow(after[0], before[0]), dis_flow(before[0], after[0]))
        places = grid(after[1].shape) + back
        stays = _consistent(back, forth, places) & _same_brightness(before[0], after[0], places)
        came_from = carried(before[1], places, cv2.INTER_NEAREST)
        same = _held(came_from, after[1], before[1], places)
        n = len(self.labels)
        stays &= came_from < n
        self.tracked += np.bincount(came_from[stays], minlength=n)
        self.changed += np.bincount(came_from[stays & ~same], minlength=n)
        self.pairs, self.pixels = self.pairs + 1, self.pixels + stays.size

    def to_dict(self) -> dict[str, object]:
        """The figures as JSON: shares of 0..1, None for what was not seen."""
        share = {
            name: round(int(c) / int(t), 5) if t else None
            for name, t, c in zip(self.labels.classes, self.tracked, self.changed, strict=True)
        }
        rate = round(self.rate, 5) if self.tracked.any() else None
        return {
            "source": self.source,
            "rate": rate,
            "covered": round(self.covered, 5),
            "pairs": self.pairs,
            "classes": share,
        }


def evaluate_flicker(
    engine: Engine,
    frames: Iterable[Frame],
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
    source: str = "",
    starts: Collection[int] = (),
) -> Flicker:
    """Run an engine over consecutive frames and count the changes that the optical flow does not explain.

    The flow (DIS) is computed at the size of the engine's class map. Left out is what it cannot be sure of: points
    that do not come back within :data:`ROUND_TRIP` pixels, or leave the picture, or change their brightness.

    Args:
        engine: the artefact as deployed.
        frames: of one camera, in order, none left out between them but at ``starts``.
        limit: stop after this many frames.
        progress: called with the number of frames done.
        source: where the frames come from, for the record.
        starts: indices of frames that do not follow the one before them: the first ones of snippets.

    Raises:
        SourceError: for fewer than two frames, or what the source raises.
        EngineError: for a failed inference.
    """
    found = Flicker(engine.spec.label_set, source=source)
    before: tuple[Image, Ids] | None = None
    for done, (frame, ids) in enumerate(in_order(engine, _infer, itertools.islice(frames, limit)), 1):
        grey = cv2.cvtColor(prepare(frame, (ids.shape[0], ids.shape[1])), cv2.COLOR_BGR2GRAY)
        after = (np.asarray(grey, np.uint8), ids)
        if before is not None and frame.index not in starts:
            found.add(before, after)
        before = after
        if progress is not None:
            progress(done)
    if not found.pairs:
        raise SourceError("fewer than two frames for the flicker rate", "consecutive frames of one camera")
    return found


def _infer(engine: Engine, frame: Frame) -> Ids:
    ids = checked_ids(engine.infer(prepare_for(frame, engine.spec)), engine.spec, engine.file)
    return crop_bars(ids, engine.spec, frame.size)


def _consistent(there: Flow, back: Flow, places: Flow) -> Mask:
    """Points that stay inside the picture and come back to where they started."""
    error = there + carried(back, places, cv2.INTER_LINEAR)
    return np.asarray(inside(places) & (np.hypot(error[..., 0], error[..., 1]) < ROUND_TRIP))


def _same_brightness(before: Image, after: Image, places: Flow) -> Mask:
    return np.asarray(cv2.absdiff(carried(before, places, cv2.INTER_LINEAR), after) <= BRIGHTNESS)


def _held(came_from: Ids, after: Ids, before: Ids, places: Flow) -> Mask:
    """Pixels whose class lies at, or next to, the place in the earlier frame that they came from."""
    same = came_from == after
    for i in np.unique(after[~same]):
        near = np.asarray(cv2.dilate((before == i).astype(np.uint8), _NEIGHBOURS), np.uint8)
        same |= (after == i) & (carried(near, places, cv2.INTER_NEAREST) > 0)
    return np.asarray(same, np.bool_)
