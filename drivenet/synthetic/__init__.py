"""A procedurally drawn drive with exact truth: every frame is a function of seed and index alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivenet.classmap import Ids
from drivenet.errors import UsageError
from drivenet.frame import Image
from drivenet.labels import CAMVID, CITYSCAPES, LabelSet
from drivenet.synthetic.camera import Camera
from drivenet.synthetic.canvas import Canvas, Instances
from drivenet.synthetic.flow import Flow, Mask, flow_between, still_seen
from drivenet.synthetic.ground import draw_ground
from drivenet.synthetic.light import Light, expose
from drivenet.synthetic.things import draw_thing
from drivenet.synthetic.world import World

#: Drives with these seeds and above are never trained on.
HELD_OUT_SEED = 1_000_000
MIN_SIZE, MAX_SIZE = 32, 8192

#: CamVid's class of each of Cityscapes' train ids.
_CAMVID = (
    "Road", "Pavement", "Building", "Fence", "Fence", "Pole", "SignSymbol", "SignSymbol", "Tree", "Tree", "Sky",
    "Pedestrian", "Bicyclist", "Car", "Car", "Car", "Car", "Bicyclist", "Bicyclist",
)  # fmt: skip
_TABLES = {CITYSCAPES: tuple(range(len(CITYSCAPES))), CAMVID: tuple(CAMVID.id_of(name) for name in _CAMVID)}


@dataclass(frozen=True, eq=False)
class DrawnFrame:
    """A frame with its truth.

    Args:
        image: (H, W, 3) uint8 BGR.
        ids: (H, W) uint8 class ids; every pixel has a class.
        instances: (H, W) int32, 0 where no thing is. Every vehicle, person, rider, two-wheeler, traffic light and
            traffic sign has an id of its own, the same in every frame of the drive.
    """

    image: Image
    ids: Ids
    instances: Instances


class SyntheticDrive:
    """A drive along an endless curved street.

    Args:
        width, height: of the images, in pixels.
        fps: frames a second of simulated time; sets how far things move between two indices.
        seed: chooses street, traffic and light.
        labels: :data:`~drivenet.labels.CITYSCAPES`, in whose 19 classes it is drawn, or
            :data:`~drivenet.labels.CAMVID`, onto whose 11 they are mapped.

    Raises:
        UsageError: for a size or rate that cannot be drawn, or another label set.
    """

    def __init__(self, width: int, height: int, fps: float = 30.0, seed: int = 0, labels: LabelSet = CAMVID) -> None:
        if not (MIN_SIZE <= width <= MAX_SIZE and MIN_SIZE <= height <= MAX_SIZE):
            raise UsageError(f"synthetic size {width}x{height}", f"{MIN_SIZE} to {MAX_SIZE} pixels either way")
        if not 0 < fps <= 1000:
            raise UsageError(f"synthetic rate {fps:g} Hz", "more than 0 and at most 1000")
        if labels not in _TABLES:
            raise UsageError(f"a synthetic drive in the classes of {labels.name}", "cityscapes or camvid")
        self.width, self.height, self.fps, self.seed, self.labels = width, height, fps, seed, labels
        self._table = np.array(_TABLES[labels], np.uint8)
        self._world = World(seed)

    def render(self, index: int) -> tuple[Image, Ids]:
        """Image and class ids of one frame, as in :class:`DrawnFrame`."""
        drawn = self.frame(index)
        return drawn.image, drawn.ids

    def frame(self, index: int) -> DrawnFrame:
        """Draw one frame with all its truth."""
        canvas, camera = self._draw(index)
        light = Light.at(self.seed, index / self.fps)
        rng = np.random.default_rng((self.seed, index, 1))
        return DrawnFrame(expose(canvas, light, camera, rng), self._table[canvas.ids()], canvas.instances())

    def flow(self, index: int, to: int | None = None) -> tuple[Flow, Mask]:
        """Where every pixel of a frame goes.

        It is the motion of the surfaces themselves, not rounded; drawn outlines are rounded to whole pixels. What
        is infinitely far (sky and skyline) moves with the horizon, and clouds drift over it.

        Args:
            index: of the frame.
            to: the other frame; without, the next.

        Returns:
            flow (H, W, 2) float32, columns and rows to add to a pixel's own, and a mask (H, W) that is True where
            the same surface is seen at that place in the other frame: not hidden, not out of the image.
        """
        to = index + 1 if to is None else to
        before, after = self._draw(index), self._draw(to)
        moved = self._world.moved(index / self.fps, to / self.fps)
        flow, inverse = flow_between(*before, after[1], moved)
        return flow, still_seen(before[0], after[0], flow, inverse)

    def _draw(self, index: int) -> tuple[Canvas, Camera]:
        seconds = index / self.fps
        camera = Camera.at(self._world, self.width, self.height, seconds)
        canvas = Canvas.blank(self.width, self.height, Light.at(self.seed, seconds).fog)
        draw_ground(canvas, camera, self._world)
        for thing in self._world.things(seconds):
            draw_thing(canvas, camera, thing)
        return canvas, camera
