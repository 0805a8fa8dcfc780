"""Light, sky and sensor of the synthetic drive: blue day, overcast, dusk and night follow each other."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from drivenet.frame import Image
from drivenet.synthetic.camera import Camera
from drivenet.synthetic.canvas import Canvas
from drivenet.synthetic.ground import noise_tile

#: Seconds one look lasts before the next has faded in.
LOOK_SECONDS = 20.0

#: zenith BGR, horizon BGR, gain BGR on everything that is lit, share of cloud, fog a metre.
_LOOKS = np.array(
    [
        [170, 95, 45, 225, 205, 180, 1.05, 1.05, 1.08, 0.25, 0.002],
        [215, 210, 205, 232, 230, 228, 0.92, 0.90, 0.88, 0.60, 0.005],
        [205, 140, 70, 235, 220, 200, 1.15, 1.15, 1.15, 0.10, 0.002],
        [110, 80, 75, 120, 160, 215, 0.60, 0.58, 0.66, 0.35, 0.004],
        [185, 178, 172, 200, 198, 196, 0.75, 0.74, 0.72, 0.70, 0.008],
        [38, 28, 24, 70, 60, 56, 0.54, 0.50, 0.50, 0.15, 0.004],
    ],
    np.float64,
)


@dataclass(frozen=True)
class Light:
    """One moment's light; colours BGR 0..255, gain a factor on lit things."""

    zenith: np.ndarray
    horizon: np.ndarray
    gain: np.ndarray
    cloud: float
    fog: float
    drift: float

    @classmethod
    def at(cls, seed: int, seconds: float) -> Light:
        """The light of a seed's drive at a time; looks change smoothly, in the seed's own order."""
        order = np.random.default_rng((seed, 2)).permutation(len(_LOOKS))
        phase = seconds / LOOK_SECONDS
        a, b = (_LOOKS[order[(int(phase) + k) % len(order)]] for k in (0, 1))
        mix = min(1.0, max(0.0, (phase % 1.0 - 0.6) / 0.4))
        look = a * (1 - mix) + b * mix
        return cls(look[0:3], look[3:6], look[6:9], float(look[9]), float(look[10]), seconds * 3.0)


def expose(canvas: Canvas, light: Light, camera: Camera, rng: np.random.Generator) -> Image:
    """The picture as a camera would see it: lit, with sky, texture and sensor noise; (H, W, 3) uint8 BGR."""
    levels = np.arange(256)[:, None, None] * light.gain
    image = np.asarray(cv2.LUT(canvas.image, np.clip(levels, 0, 255).astype(np.uint8)))
    sky = canvas.keys == 0
    filled = np.flatnonzero(sky.any(axis=1))
    if filled.size:
        rows = int(filled[-1]) + 1
        np.copyto(image[:rows], _sky(light, camera, rows), where=sky[:rows, :, None])
    image = cv2.add(image, _sensor_noise(canvas.keys.shape, rng), dtype=cv2.CV_8U)
    return np.asarray(cv2.GaussianBlur(image, (3, 3), 0.5), np.uint8)


def _sensor_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) int16, the same in all channels; a tile at a random place."""
    height, width = shape
    tile = (noise_tile(3) * 5).astype(np.int16)
    oy, ox = (int(v) for v in rng.integers(0, 256, 2))
    grain = np.tile(tile, (height // 256 + 2, width // 256 + 2))[oy : oy + height, ox : ox + width]
    return np.asarray(cv2.merge([grain] * 3), np.int16)


def _sky(light: Light, camera: Camera, rows: int) -> Image:
    """Gradient from zenith to horizon with drifting clouds, (rows, W, 3) uint8 BGR."""
    height = np.clip(np.arange(rows, dtype=np.float32) / max(1.0, camera.horizon), 0, 1)[:, None, None]
    gradient = np.clip(light.zenith * (1 - height) + light.horizon * height, 0, 255).astype(np.uint8)
    base = np.repeat(gradient, camera.width, axis=1)
    tile = cv2.GaussianBlur(noise_tile(1), (0, 0), 5, borderType=cv2.BORDER_REFLECT)
    band = cv2.resize(np.roll(tile, int(light.drift), axis=1)[:128], (camera.width, max(rows, 2)))[:rows]
    cover = np.clip((band * 1.6 + light.cloud - 0.35) * 1.5, 0, 1) * np.float32(0.8)
    cloud = np.empty_like(base)
    cloud[:] = np.clip(light.horizon * 1.06 + 6, 0, 255).astype(np.uint8)
    return np.asarray(cv2.blendLinear(base, cloud, 1 - cover, cover), np.uint8)
