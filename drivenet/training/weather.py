"""Rain and snow. Pictures are (H, W, 3) float32 BGR in 0..255 and are written to in place; labels stay."""

from __future__ import annotations

import cv2
import numpy as np

from drivenet.classmap import Ids
from drivenet.training.recolour import Float, luminance, mixed, sky, soft
from drivenet.training.regions import Mask, Regions


def rain(image: Float, ids: Ids, regions: Regions, rng: np.random.Generator) -> None:
    """A grey day with a wet road, and drops on the windscreen."""
    grey = luminance(image)[..., None]
    image[:] = grey + (image - grey) * np.float32(rng.uniform(0.5, 0.9))
    haze = np.float32(rng.uniform(0.03, 0.22))
    image += (np.float32(rng.uniform(120, 190)) - image) * haze
    sky(image, regions("sky", ids), "grey", rng)
    wet(image, regions("road", ids), rng)
    drops(image, int(rng.integers(5, 60)), rng)


def wet(image: Float, road: Mask, rng: np.random.Generator) -> None:
    """A darker road that mirrors what stands above it, each column about the row where its road begins."""
    if not road.any():
        return
    h, w = road.shape
    top = np.where(road.any(0), road.argmax(0), h - 1)
    below = np.maximum(0, np.arange(h)[:, None] - top[None])
    mirrored = cv2.blur(image[np.maximum(0, top[None] - below), np.arange(w)[None]], (3, 21))
    amount = soft(road) * (rng.uniform(0.2, 0.55) * (1 - 0.6 * below / h)).astype(np.float32)
    image *= 1 - soft(road)[..., None] * np.float32(rng.uniform(0.1, 0.45))
    image += (mirrored - image) * amount[..., None]


def drops(image: Float, count: int, rng: np.random.Generator) -> None:
    """Drops of water on the glass: each shows the scene upside down, small and blurred."""
    h, w = image.shape[:2]
    columns, rows = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    cover = np.zeros((h, w), np.float32)
    for _ in range(count):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), float(rng.uniform(1.5, 7) * h / 256)
        tall = rng.uniform(1, 1.5)
        x0, x1, y0, y1 = int(max(0, x - r)), int(min(w, x + r + 1)), int(max(0, y - r * tall)), int(y + r * tall + 1)
        u = (np.arange(x0, x1, dtype=np.float32) - x) / r
        v = (np.arange(y0, min(h, y1), dtype=np.float32)[:, None] - y) / (r * tall)
        inside = np.clip(1.3 - (u**2 + v**2) * 1.3, 0, 1)
        part = np.s_[y0 : min(h, y1), x0:x1]
        held = inside > 0
        columns[part] = np.where(held, x - u * r * 5, columns[part])
        rows[part] = np.where(held, y - v * r * 5, rows[part])
        cover[part] = np.maximum(cover[part], np.minimum(1, inside * 1.5) * (0.85 - 0.25 * v))
    seen = cv2.remap(cv2.blur(image, (5, 5)), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    image += (seen * np.float32(1.08) - image) * np.minimum(1, cover)[..., None]


def snow(image: Float, ids: Ids, regions: Regions, rng: np.random.Generator) -> None:
    """Snow on verges and pavements, on some of the trees and along the edges of the road, and flakes in the air."""
    h, w = ids.shape
    grain = cv2.resize(rng.random((h // 6 + 1, w // 6 + 1)).astype(np.float32), (w, h))
    road = regions("road", ids)
    beside = regions("verge", ids) | regions("around", ids)
    edge = cv2.distanceTransform(1 - beside.astype(np.uint8), cv2.DIST_L2, 3)
    reach = rng.uniform(1, 14) * np.linspace(0.2, 1.5, h, dtype=np.float32)[:, None]
    amount = soft(regions("verge", ids)) * np.float32(rng.uniform(0.7, 0.95))
    fine = np.clip((rng.random((h, w), np.float32) + grain - rng.uniform(0.6, 1.6)) * 2, 0, 1)
    amount = np.maximum(amount, soft(regions("trees", ids)) * fine * np.float32(0.55))
    amount = np.maximum(amount, road * (1 - np.minimum(edge, reach) / reach) * np.float32(rng.uniform(0.3, 0.9)))
    bright = luminance(image)
    relative = np.clip(bright / max(1.0, float(bright.mean())), 0.75, 1.15) * (0.92 + 0.12 * grain)
    white = mixed((200, 190, 185), (250, 242, 238), rng)
    sky(image, regions("sky", ids), "grey", rng)
    image += (white * relative[..., None] - image) * cv2.GaussianBlur(amount, (0, 0), 0.8)[..., None]
    image += (np.float32(190) - image) * np.float32(rng.uniform(0, 0.15))
    flakes = np.zeros((h, w), np.float32)
    count = int(rng.integers(0, 200))
    flakes[rng.integers(0, h, count), rng.integers(0, w, count)] = rng.uniform(2, 9)
    image += (np.float32(245) - image) * np.minimum(0.8, cv2.GaussianBlur(flakes, (0, 0), 1.0))[..., None]
