"""The things of an engine over a sequence, with the ids that the tracker of a run gives them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.evaluation.comparison import Comparison
from drivenet.prepare import Size, resize_ids
from drivenet.scene import Scene, separated, tracked
from drivenet.things.grouping import Grouped
from drivenet.things.tracking import Tracker

#: Frames a second of a sequence that does not say.
FPS = 10.0


class FollowedThings:
    """Follows the things of one engine; give it every frame of a sequence in order.

    Args:
        common: what the engine is compared on.
        fps: of the sequence, 0 where that is not known; the time of a frame is that of its place.
    """

    def __init__(self, common: Comparison, fps: float) -> None:
        self._common, self._fps, self._tracker = common, fps or FPS, Tracker()
        self._frame: tuple[Ids, Scene] | None = None

    def see(self, index: int, ids: Ids, grouped: Grouped | None) -> None:
        """The next frame.

        Args:
            index: its place in the sequence.
            ids: (H', W') class ids of the engine.
            grouped: the things in it; None where the engine has none, and connected components stand in, as in a run.
        """
        labels, size = self._common.model, (ids.shape[0], ids.shape[1])
        scene = Scene(index, {}, {}, *separated(ids, grouped, labels, size))
        self._frame = ids, tracked(scene, self._tracker, round(index * 1e9 / self._fps), labels, size)

    def at(self, size: Size) -> tuple[Ids, npt.NDArray[np.int64]]:
        """The frame that was seen last: class ids compared on, each thing of one class, and ids, 0 for none; (H, W)."""
        assert self._frame is not None
        ids, scene = self._frame
        assert scene.instances is not None
        classes = np.array([0, *(self._common.model.id_of(thing.cls) for thing in scene.things)], np.uint8)
        whole = np.where(scene.instances > 0, classes[scene.instances], ids)
        numbers = np.array([0, *(thing.id for thing in scene.things)], np.int64)
        return self._common.predicted[resize_ids(whole, size)], numbers[resize_ids(scene.instances, size)]
