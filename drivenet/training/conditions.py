"""Night, tunnel, rain, snow and what a camera adds: which of them a sample gets."""

from __future__ import annotations

import numpy as np

from drivenet.classmap import Ids
from drivenet.labels import IGNORE_ID
from drivenet.training import camera, surroundings, weather
from drivenet.training.recolour import Float
from drivenet.training.regions import Regions, walls
from drivenet.training.sets import SetCodes
from drivenet.training.settings import AugmentSettings

#: Settings that exclude each other, and all that only the host has.
SCENES = ("lit_night", "tunnel", "rain", "snow")
ON_HOST = (*SCENES, "flare", "motion_blur", "bonnet")


class Conditions:
    """Changes pictures (H, W, 3) float32 BGR, 0..255, and codes (H, W) uint8 in place.

    Nothing is drawn for what is off, so that other settings see the same chances.

    Args:
        settings: probabilities.
        codes: of the run; with the set of :func:`~drivenet.training.regions.walls`, if there are tunnels.
    """

    def __init__(self, settings: AugmentSettings, codes: SetCodes) -> None:
        self._settings, self._regions = settings, Regions(codes)
        wanted = walls(codes.labels)
        self._walls = codes.sets.index(wanted) if wanted in codes.sets else min(wanted, default=IGNORE_ID)

    def scene(self, image: Float, ids: Ids, rng: np.random.Generator) -> bool:
        """Another light or weather, which replaces other changes of light; returns whether there is one."""
        shares = np.cumsum([getattr(self._settings, name) for name in SCENES])
        if not shares[-1]:
            return False
        chosen = int(np.searchsorted(shares, rng.random(), side="right"))
        if chosen == len(SCENES):
            return False
        if SCENES[chosen] == "lit_night":
            surroundings.night(image, ids, self._regions, rng)
        elif SCENES[chosen] == "tunnel":
            surroundings.tunnel(image, ids, self._regions, self._walls, rng)
        elif SCENES[chosen] == "rain":
            weather.rain(image, ids, self._regions, rng)
        else:
            weather.snow(image, ids, self._regions, rng)
        return True

    def camera(self, image: Float, ids: Ids, rng: np.random.Generator) -> None:
        """Motion, the own bonnet, the sun in the lens."""
        s = self._settings
        if s.motion_blur and rng.random() < s.motion_blur:
            camera.motion_blur(image, rng)
        if s.bonnet and rng.random() < s.bonnet:
            camera.bonnet(image, ids, rng)
        if s.flare and rng.random() < s.flare:
            camera.flare(image, rng)
