"""Recolouring by label: skies, roads, paint and time of day that the data set lacks.

All functions take a picture (H, W, 3) float32 BGR in 0..255 and write to it in place.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.labels import IGNORE_ID, LabelSet

Float = npt.NDArray[np.float32]
Ids = npt.NDArray[np.uint8]

_LUMA = np.array([0.114, 0.587, 0.299], np.float32)

#: zenith and horizon, lowest and highest BGR, by look.
SKIES: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "blue": ((90, 60, 10), (220, 150, 110), (190, 170, 150), (255, 245, 240)),
    "grey": ((110, 110, 105), (215, 215, 215), (170, 170, 170), (245, 245, 245)),
    "dusk": ((60, 40, 40), (150, 100, 110), (60, 110, 170), (150, 190, 250)),
    "night": ((8, 5, 3), (55, 40, 35), (20, 18, 15), (85, 75, 75)),
}

#: How far the channels of a sky's colour move apart, of its range: all alone, they would make grey skies pink.
TINT = 0.12

#: Lowest and highest BGR of wooded, dry and far hills.
HILLS: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = (
    ((25, 35, 25), (75, 105, 95)),
    ((70, 100, 120), (120, 160, 185)),
    ((110, 95, 75), (175, 160, 145)),
)
#: What vegetation is multiplied by as it dries, lowest and highest BGR.
DRY = ((0.55, 0.85, 1.1), (0.95, 1.05, 1.6))
#: Waves of a ridge: how many across the picture, least and most, and their share of its height.
WAVES = ((0.3, 1.5, 0.55), (1.5, 5.0, 0.3), (5.0, 20.0, 0.06), (20.0, 60.0, 0.02))


def sky_and_tree(labels: LabelSet) -> tuple[int, int]:
    """The ids of sky and of trees (Cityscapes: vegetation); 255, which no truth counts, for what is no class."""
    ids = {name.lower(): i for i, name in enumerate(labels.classes)}
    return ids.get("sky", IGNORE_ID), ids.get("tree", ids.get("vegetation", IGNORE_ID))


def soft(mask: npt.NDArray[np.bool_], sigma: float = 1.5) -> Float:
    """A mask with a soft edge, (H, W) float32 in 0..1."""
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma), np.float32)


def luminance(image: Float) -> Float:
    """(H, W) float32, Rec. 601."""
    return np.asarray(image @ _LUMA, np.float32)


def sky(image: Float, mask: npt.NDArray[np.bool_], look: str, rng: np.random.Generator) -> None:
    """Blend a vertical gradient into the sky, 70-100 %, keeping its relative luminance."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return
    zenith_low, zenith_high, horizon_low, horizon_high = SKIES[look]
    zenith = mixed(zenith_low, zenith_high, rng)
    horizon = mixed(horizon_low, horizon_high, rng)
    t = (np.arange(image.shape[0], dtype=np.float32) - rows[0]) / max(1, rows[-1] - rows[0])
    t = (np.clip(t, 0, 1) ** np.float32(rng.uniform(0.6, 1.6)))[:, None, None]
    gradient = zenith * (1 - t) + horizon * t
    bright = luminance(image)
    relative = np.clip(bright / max(1.0, float(bright[mask].mean())), 0.6, 1.4)[..., None]
    amount = soft(mask)[..., None] * np.float32(rng.uniform(0.7, 1.0))
    image += (gradient * relative - image) * amount


def mixed(low: tuple[float, ...], high: tuple[float, ...], rng: np.random.Generator) -> Float:
    """A colour between two, BGR: its channels move together, but for a :data:`TINT`."""
    share = np.clip(rng.random() + rng.uniform(-TINT, TINT, 3), 0, 1)
    return np.asarray(low + (np.array(high) - low) * share, np.float32)


def road(image: Float, mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Scale the road's brightness by 0.5-1.6 and tint it by up to 8 %: concrete, wet and fresh tarmac."""
    _tint(image, mask, rng.uniform(0.5, 1.6) * (1 + rng.uniform(-0.08, 0.08, 3)))


def dry(image: Float, mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Tint vegetation as summer and autumn do, towards yellow and brown."""
    _tint(image, mask, rng.uniform(*DRY))


def _tint(image: Float, mask: npt.NDArray[np.bool_], gain: npt.NDArray[np.float64]) -> None:
    image *= 1 + soft(mask)[..., None] * (gain - 1).astype(np.float32)


def hills(image: Float, ids: Ids, sky_id: int, tree_id: int, rng: np.random.Generator) -> None:
    """Raise hills behind everything, out of the lowest sky; they become ``tree_id`` in ``ids``, in place too."""
    h, w = ids.shape
    rows = np.flatnonzero((ids == sky_id).any(axis=1))
    if rows.size == 0 or sky_id == IGNORE_ID:  # what no truth counts is no sky
        return
    height = rng.uniform(0.04, 0.3) * h
    ridge = rows[-1] - height * (0.5 + 0.5 * _ridge(w, rng))
    mask = (ids == sky_id) & (np.arange(h)[:, None] > ridge)
    low, high = HILLS[int(rng.integers(len(HILLS)))]
    colour = rng.uniform(low, high).astype(np.float32)
    haze = np.float32(rng.uniform(0, 0.6))
    grain = rng.normal(0, rng.uniform(0.03, 0.2), (max(2, h // 8), max(2, w // 8))).astype(np.float32)
    rough = 1 + cv2.resize(grain, (w, h), interpolation=cv2.INTER_CUBIC)[..., None]
    behind = image[mask].mean(axis=0) if mask.any() else colour
    image += ((colour * (1 - haze) + behind * haze) * rough - image) * soft(mask, 0.8)[..., None]
    ids[mask] = tree_id


def _ridge(width: int, rng: np.random.Generator) -> Float:
    """A sum of waves, (width,) float32 in -1..1."""
    x = np.arange(width, dtype=np.float32) / width
    waves = [share * np.sin(2 * np.pi * (rng.uniform(low, high) * x + rng.random())) for low, high, share in WAVES]
    return np.asarray(sum(waves), np.float32)


def paint(image: Float, mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Give each connected vehicle another paint, keeping its relative luminance."""
    count, parts = cv2.connectedComponents(mask.astype(np.uint8))
    for part in range(1, min(count, 12)):
        here = parts == part
        if rng.random() < 0.5 or np.count_nonzero(here) < 60:
            continue
        colour = rng.uniform(20, 235, 3).astype(np.float32)
        bright = luminance(image)
        relative = np.clip(bright / max(8.0, float(bright[here].mean())), 0.2, 1.8)[..., None]
        amount = soft(here, 1.0)[..., None] * np.float32(rng.uniform(0.4, 0.8))
        image += (colour * relative - image) * amount


def dim(image: Float, look: str, rng: np.random.Generator) -> None:
    """The light of dusk or night on everything; at night with the glow of headlights on the ground."""
    warm = np.array([0.75, 0.9, 1.15] if look == "dusk" else [1.05, 0.95, 0.95], np.float32)
    level = rng.uniform(0.4, 0.75) if look == "dusk" else rng.uniform(0.15, 0.4)
    gain = np.full(image.shape[:2], level, np.float32)
    if look == "night" and rng.random() < 0.7:
        h, w = image.shape[:2]
        ys, xs = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)
        glow = np.exp(-(((xs / w - rng.uniform(0.3, 0.7)) / 0.35) ** 2) - ((ys / h - 0.85) / 0.3) ** 2)
        gain += np.float32(rng.uniform(0.2, 0.6)) * glow
    image *= gain[..., None] * warm
