"""What lies between the scene and the picture: the sun in the lens, motion, and the own car.

Pictures are (H, W, 3) float32 BGR in 0..255 and are written to in place.
"""

from __future__ import annotations

import cv2
import numpy as np

from drivenet.classmap import Ids
from drivenet.labels import IGNORE_ID
from drivenet.training.recolour import Float


def flare(image: Float, rng: np.random.Generator) -> None:
    """A low sun: its disc, a veil over everything, and ghosts on the line through the centre."""
    h, w = image.shape[:2]
    x, y = rng.uniform(0.05, 0.95) * w, rng.uniform(-0.1, 0.4) * h
    ys, xs = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)
    away = np.hypot(xs - np.float32(x), ys - np.float32(y)) / h
    veil = 255 * np.exp(-away / rng.uniform(0.06, 0.16)) + rng.uniform(20, 90) * np.exp(-away / 0.6)
    colour = np.array([rng.uniform(0.6, 1.0), rng.uniform(0.85, 1.0), 1.0], np.float32)
    image *= np.float32(rng.uniform(0.6, 1.0))
    image += veil[..., None] * colour
    ghosts = np.zeros_like(image)
    for _ in range(int(rng.integers(2, 6))):
        along = rng.uniform(0.3, 2.0)
        centre = (int(x + (w / 2 - x) * along), int(y + (h / 2 - y) * along))
        cv2.circle(ghosts, centre, int(h * rng.uniform(0.01, 0.06)), rng.uniform(8, 45, 3).tolist(), -1, cv2.LINE_AA)
    image += cv2.GaussianBlur(ghosts, (0, 0), 1.2)


def motion_blur(image: Float, rng: np.random.Generator) -> None:
    """The way driven (from the vanishing point outwards) or turned (sideways) while the shutter was open."""
    h, w = image.shape[:2]
    centre = (rng.uniform(0.3, 0.7) * w, rng.uniform(0.3, 0.5) * h)
    driven = rng.random() < 0.6
    zoom, side = (rng.uniform(0.01, 0.045), 0.0) if driven else (0.0, rng.uniform(-7, 7))
    total = np.zeros_like(image)
    shares = np.linspace(-0.5, 0.5, 5)
    for share in shares:
        scale = 1 + zoom * share
        warp = np.array([[scale, 0, (1 - scale) * centre[0] + side * share], [0, scale, (1 - scale) * centre[1]]])
        total += cv2.warpAffine(image, warp, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    image[:] = total / len(shares)


def bonnet(image: Float, ids: Ids, rng: np.random.Generator) -> None:
    """The own bonnet or dashboard at the lower edge, which mirrors the scene; it is ignored in ``ids``."""
    h, w = ids.shape
    x = np.linspace(-1, 1, w, dtype=np.float32) - np.float32(rng.uniform(-0.4, 0.4))
    high = rng.uniform(0.04, 0.2) * h
    edge = h - high * np.clip(1 - np.abs(x / rng.uniform(0.9, 1.8)) ** rng.uniform(1.5, 4), 0, 1)
    rows = np.arange(h, dtype=np.float32)[:, None]
    mask = rows >= edge[None]
    if not mask.any():
        return
    colour = rng.uniform(5, 60, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(10, 200))
    mirrored = image[np.clip(2 * edge[None] - rows - 2, 0, h - 1).astype(np.intp), np.arange(w)[None]]
    amount = np.float32(rng.uniform(0.0, 0.55))
    deep = np.clip((rows - edge[None]) / max(1.0, high), 0, 1)[..., None]
    body = colour.astype(np.float32) * (1.1 - 0.5 * deep) * (1 - amount) + cv2.blur(mirrored, (9, 5)) * amount
    rim = np.exp(-((rows - edge[None]) ** 2) / 3)[..., None] * np.float32(rng.uniform(0, 60))
    image += (body + rim - image) * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)[..., None]
    ids[mask] = IGNORE_ID
