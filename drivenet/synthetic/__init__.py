"""A procedurally drawn drive with exact class ids: every frame is a function of seed and index alone."""

from __future__ import annotations

import numpy as np

from drivenet.classmap import Ids
from drivenet.errors import UsageError
from drivenet.frame import Image
from drivenet.labels import CAMVID, LabelSet
from drivenet.synthetic.camera import Camera
from drivenet.synthetic.canvas import Canvas
from drivenet.synthetic.ground import draw_ground
from drivenet.synthetic.light import Light, expose
from drivenet.synthetic.things import draw_thing
from drivenet.synthetic.world import World

#: Drives with these seeds and above are never trained on.
HELD_OUT_SEED = 1_000_000
MIN_SIZE, MAX_SIZE = 32, 8192


class SyntheticDrive:
    """A drive along an endless curved street, in CamVid's classes.

    Args:
        width, height: of the pictures, in pixels.
        fps: frames a second of simulated time; sets how far things move between two indices.
        seed: chooses street, traffic and light.

    Raises:
        UsageError: for a size or rate that cannot be drawn.
    """

    labels: LabelSet = CAMVID

    def __init__(self, width: int, height: int, fps: float = 30.0, seed: int = 0) -> None:
        if not (MIN_SIZE <= width <= MAX_SIZE and MIN_SIZE <= height <= MAX_SIZE):
            raise UsageError(f"synthetic size {width}x{height}", f"{MIN_SIZE} to {MAX_SIZE} pixels either way")
        if not 0 < fps <= 1000:
            raise UsageError(f"synthetic rate {fps:g} Hz", "more than 0 and at most 1000")
        self.width, self.height, self.fps, self.seed = width, height, fps, seed
        self._world = World(seed)

    def render(self, index: int) -> tuple[Image, Ids]:
        """Draw one frame.

        Returns:
            image (H, W, 3) uint8 BGR and ids (H, W) uint8 of :data:`~drivenet.labels.CAMVID`; every pixel has a
            class.
        """
        seconds = index / self.fps
        light = Light.at(self.seed, seconds)
        camera = Camera.at(self._world, self.width, self.height, seconds)
        canvas = Canvas.blank(self.width, self.height, light.fog)
        draw_ground(canvas, camera, self._world, seconds)
        for thing in self._world.things(seconds):
            draw_thing(canvas, camera, thing)
        rng = np.random.default_rng((self.seed, index, 1))
        return expose(canvas, light, camera, rng), canvas.ids
