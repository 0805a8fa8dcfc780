"""Pictures to draw on."""

from __future__ import annotations

import numpy as np

from drivenet.classmap import ClassMap
from drivenet.frame import Frame
from drivenet.hud import Hud
from drivenet.labels import CAMVID
from drivenet.scene import Scene, analyse

BARE = Hud(0.0, {}, {}, {})


def frame_of(height: int, width: int, grey: int = 90) -> Frame:
    return Frame(np.full((height, width, 3), grey, np.uint8), 3, 0)


def street() -> tuple[Frame, ClassMap, Scene]:
    """A road with a car in the middle, and what was found."""
    ids = np.full((90, 160), CAMVID.id_of("Road"), np.uint8)
    ids[50:70, 70:100] = CAMVID.id_of("Car")
    frame, classmap = frame_of(720, 1280), ClassMap(ids, 3, 0)
    return frame, classmap, analyse(classmap, CAMVID, frame.size)
