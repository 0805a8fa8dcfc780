"""Lights that are on: drawn into a layer of their own, which glows."""

from __future__ import annotations

import cv2
import numpy as np

from drivenet.classmap import Ids
from drivenet.training.recolour import Float
from drivenet.training.regions import Mask, Regions

#: BGR.
TAIL, HEAD = (40, 30, 230), (235, 245, 255)
SIGNALS = (((30, 30, 255), 0.2), ((40, 190, 255), 0.5), ((170, 255, 90), 0.8))  #: colour and height of each lens
LAMPS = ((90, 170, 255), (170, 215, 255), (255, 245, 230))  #: sodium, warm, LED
WINDOWS = ((110, 190, 255), (160, 220, 255), (235, 240, 245))
LEAST_PIXELS = 40


def glow(layer: Float, wet: Mask | None = None, streak: float = 0.0) -> Float:
    """What a camera sees of lights (H, W, 3): themselves, a halo, and their streaks on a wet road."""
    h, w = layer.shape[:2]
    small = cv2.resize(layer, (max(1, w // 4), max(1, h // 4)), interpolation=cv2.INTER_AREA)
    halo = cv2.resize(cv2.GaussianBlur(small, (0, 0), 3.0), (w, h), interpolation=cv2.INTER_LINEAR)
    out = cv2.GaussianBlur(layer, (0, 0), 0.7) + 0.9 * halo
    if wet is not None and streak:
        drawn = cv2.resize(cv2.blur(small, (1, 31), anchor=(0, 30)), (w, h), interpolation=cv2.INTER_LINEAR)
        out = out + wet[..., None] * np.float32(streak) * drawn
    return np.asarray(out, np.float32)


def vehicles(layer: Float, ids: Ids, regions: Regions, rng: np.random.Generator) -> None:
    """Tail or head lights of every vehicle that is not too close to others to be told apart."""
    mask = regions("vehicle", ids)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    for x, y, w, h, pixels in stats[1 : min(count, 16)]:
        ahead = rng.random() < 0.3
        height, radius = (
            y + h * rng.uniform(0.5, 0.68),
            max(1, min(len(ids) // 64, round(w * rng.uniform(0.035, 0.06)))),
        )
        if pixels < LEAST_PIXELS or not 0.6 < w / h < 2.4:
            continue
        for at in (x + 0.15 * w, x + 0.85 * w):
            if mask[int(height), int(at)]:
                colour = HEAD if ahead else TAIL
                cv2.circle(layer, (int(at), int(height)), radius, colour, -1, cv2.LINE_AA)


def signals(layer: Float, ids: Ids, regions: Regions, rng: np.random.Generator) -> None:
    """One lens of every traffic light is on."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(regions("light", ids).astype(np.uint8))
    for x, y, w, h, pixels in stats[1 : min(count, 16)]:
        colour, place = SIGNALS[int(rng.integers(3))]
        if pixels >= 6:
            centre = (int(x + w / 2), int(y + h * place))
            cv2.circle(layer, centre, max(1, round(0.3 * min(w, h / 2))), colour, -1, cv2.LINE_AA)


def lamps(layer: Float, ids: Ids, regions: Regions, rng: np.random.Generator) -> None:
    """Lamps at the tops of tall poles."""
    colour = LAMPS[int(rng.integers(len(LAMPS)))]
    count, _, stats, _ = cv2.connectedComponentsWithStats(regions("pole", ids).astype(np.uint8))
    for x, y, w, h, _ in stats[1 : min(count, 12)]:
        if h > 0.15 * len(ids) and rng.random() < 0.7:
            cv2.circle(layer, (int(x + w / 2), int(y)), int(rng.integers(1, 4)), colour, -1, cv2.LINE_AA)


def windows(layer: Float, ids: Ids, regions: Regions, rng: np.random.Generator) -> None:
    """Some windows of buildings, on a slanted grid."""
    inside = cv2.erode(regions("building", ids).astype(np.uint8), np.ones((3, 3), np.uint8))
    if not inside.any():
        return
    h, w = ids.shape
    across, down = rng.uniform(7, 16), rng.uniform(9, 20)
    x = np.arange(w) / across + rng.random()
    y = (np.arange(h)[:, None] + rng.uniform(-0.2, 0.2) * np.arange(w)) / down + rng.random() + h
    lit = rng.random((64, 64)) * (rng.random((64, 64)) < rng.uniform(0.08, 0.4))
    pane = (x % 1 < rng.uniform(0.35, 0.6)) & (y % 1 < rng.uniform(0.4, 0.65)) & (inside > 0)
    colours = np.array(WINDOWS, np.float32)[rng.integers(0, len(WINDOWS), (64, 64))] * lit[..., None] * 0.8
    column, row = x.astype(np.intp) % 64, y.astype(np.intp) % 64
    layer += (colours[row, column] * pane[..., None]).astype(np.float32)
