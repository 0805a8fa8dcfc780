"""Other surroundings for the same road: night with its lights on, and a tunnel.

Pictures are (H, W, 3) float32 BGR in 0..255 and are written to in place, as are ids.
"""

from __future__ import annotations

import cv2
import numpy as np

from drivenet.classmap import Ids
from drivenet.labels import IGNORE_ID
from drivenet.training import lights
from drivenet.training.recolour import Float, luminance, sky, soft
from drivenet.training.regions import Mask, Regions

#: What light at night is multiplied by, BGR: sodium lamps, LED, moon.
TINTS = ((0.5, 0.8, 1.15), (1.0, 0.95, 0.95), (1.2, 0.95, 0.8))
#: Mean luminance that a camera exposes a dark picture to at least.
EXPOSURE = (14.0, 40.0)
#: Of the picture, the least that has to be road for a tunnel.
LEAST_ROAD = 0.04


def night(image: Float, ids: Ids, regions: Regions, rng: np.random.Generator) -> None:
    """Darkness by class, the own headlights, and windows, lamps, signals and lights of vehicles that are on."""
    h, w = ids.shape
    grey = luminance(image)[..., None]
    image[:] = grey + (image - grey) * np.float32(rng.uniform(0.35, 0.8))
    gain = np.full((h, w), rng.uniform(0.06, 0.22), np.float32)
    gain[regions("building", ids)] *= rng.uniform(0.5, 1.6)
    gain[regions("trees", ids)] *= rng.uniform(0.4, 1.1)
    gain[regions("sign", ids)] = rng.uniform(0.3, 0.8)
    ys, xs = np.arange(h, dtype=np.float32)[:, None] / h, np.arange(w, dtype=np.float32) / w
    spread = (xs - rng.uniform(0.3, 0.7)) / rng.uniform(0.25, 0.5)
    beam = np.exp(-(spread**2) - ((ys - 0.85) / 0.3) ** 2) * rng.uniform(0.15, 0.7)
    image *= (cv2.GaussianBlur(gain, (0, 0), 1.0) + beam)[..., None] * np.array(TINTS[int(rng.integers(3))], np.float32)
    sky(image, regions("sky", ids), "night", rng)
    image *= max(1.0, np.float32(rng.uniform(*EXPOSURE)) / max(1.0, float(luminance(image).mean())))
    layer = np.zeros_like(image)
    for kind in (lights.windows, lights.lamps, lights.signals, lights.vehicles):
        kind(layer, ids, regions, rng)
    image += lights.glow(layer, regions("road", ids), rng.uniform(0, 0.9)) * np.float32(rng.uniform(0.8, 1.2))


def tunnel(image: Float, ids: Ids, regions: Regions, code: int, rng: np.random.Generator) -> None:
    """Walls and a ceiling with lamps in place of all that stands around the road; they become ``code``."""
    road, top = regions("road", ids), regions.horizon(ids)
    if top is None or road.mean() < LEAST_ROAD or top >= len(ids) - 8:
        return
    h, w = ids.shape
    covered = regions("around", ids)
    covered |= (ids == IGNORE_ID) & (cv2.dilate(covered.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0)
    columns = np.flatnonzero(road[top : top + 3].any(0))
    dx = np.abs(np.arange(w, dtype=np.float32) - columns.mean()) / (w * rng.uniform(0.5, 1.1))
    dy = np.maximum(0, top - np.arange(h, dtype=np.float32)) / (h * rng.uniform(0.4, 0.9))
    power = np.float32(rng.choice([2.0, 6.0]))  # an arch or a box
    nearness = (dx[None] ** power + dy[:, None] ** power) ** (1 / power) + 1e-3
    image *= np.float32(rng.uniform(0.35, 0.8)) * np.array(TINTS[int(rng.integers(2))], np.float32)
    walls, lamp = _walls(nearness, dx[None], dy[:, None], rng)
    image += (walls - image) * soft(covered, 0.8)[..., None]
    layer = np.zeros_like(image)
    layer[lamp & covered] = np.array(lights.LAMPS[int(rng.integers(3))], np.float32) * 0.9
    lights.vehicles(layer, ids, regions, rng)
    image += lights.glow(layer, road, rng.uniform(0, 0.6))
    ids[covered & (ids != IGNORE_ID)] = code


def _walls(nearness: Float, dx: Float, dy: Float, rng: np.random.Generator) -> tuple[Float, Mask]:
    """Concrete or tiles (H, W, 3) with seams along the way, and where the lamps are."""
    depth = 1 / nearness
    albedo = rng.uniform(40, 130)
    band = np.where((dy < rng.uniform(0.1, 0.45) * nearness) & (dx > 0.3 * nearness), rng.uniform(1.0, 1.7), 1.0)
    seams = np.where((depth * rng.uniform(1, 4)) % 1 < 0.06, 0.75, 1.0)
    noise = cv2.resize(rng.normal(1, 0.08, (24, 32)).astype(np.float32), depth.shape[::-1])
    light = 0.5 + 0.7 * np.clip(dy / nearness, 0, 1) * (0.6 + 0.4 * np.cos(depth * 6))
    value = albedo * band * seams * noise * light
    if rng.random() < 0.5:  # daylight at its end
        value = value + rng.uniform(60, 200) * np.exp(-((nearness / rng.uniform(0.04, 0.12)) ** 2))
    tint = 1 + rng.uniform(-0.12, 0.12, 3)
    place, wide = rng.uniform(0.0, 0.7), rng.uniform(0.03, 0.08)
    lamp = (np.abs(dx / nearness - place) < wide) & (dy > 0.5 * nearness) & ((depth * rng.uniform(1.5, 3)) % 1 < 0.4)
    return (value[..., None] * tint).astype(np.float32), lamp & (nearness > 0.12)
