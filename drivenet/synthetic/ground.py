"""Road with lane marks and kerbs, pavement, verge and the far skyline."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from drivenet.classmap import Ids
from drivenet.synthetic.camera import Camera
from drivenet.synthetic.canvas import BUILDING, ROAD, SIDEWALK, TERRAIN, VEGETATION, Canvas, Surface
from drivenet.synthetic.world import World

FAR = 200.0
SKYLINE = 55.0  #: metres of fog before the silhouette, which stays on the horizon like what is infinitely far
_TILE = 256
_MARK = 200  #: a road surface, not a class

Float = npt.NDArray[np.float32]


@lru_cache(maxsize=8)
def noise_tile(seed: int) -> Float:
    """(256, 256) float32 in about -1..1: grain over blotches; repeats seamlessly."""
    rng = np.random.default_rng((seed % 5, 11))
    fine = rng.standard_normal((_TILE, _TILE)).astype(np.float32)
    coarse = rng.standard_normal((_TILE // 16, _TILE // 16)).astype(np.float32)
    blotch = cv2.resize(np.pad(coarse, 1, mode="wrap"), (_TILE + 32, _TILE + 32), interpolation=cv2.INTER_CUBIC)
    return np.asarray(0.35 * fine + 0.6 * blotch[16:-16, 16:-16], np.float32)


def draw_ground(canvas: Canvas, camera: Camera, world: World) -> None:
    """Fill everything below the horizon, and hills or roofs on it."""
    _skyline(canvas, camera, world)
    top = max(0, int(np.floor(camera.horizon)) + 1)
    if top >= camera.height:
        return
    rows = np.arange(top, camera.height, dtype=np.float32) + 0.5
    z = np.minimum(camera.focal * camera.lift / np.maximum(rows - camera.horizon, 0.05), FAR)
    shift = np.array([camera.shift(float(v)) for v in z], np.float32)
    columns = np.arange(camera.width, dtype=np.float32) + 0.5
    x = (columns[None, :] - np.float32(camera.cx)) * (z / camera.focal)[:, None] - shift[:, None]
    along = z + np.float32(camera.travelled)
    ids = _paint(canvas, world, x, z, along, top)
    _lay(canvas, camera, ids, top)


def _lay(canvas: Canvas, camera: Camera, ids: Ids, top: int) -> None:
    """Make the pixels from row ``top`` on those of the flat ground, with class ids of ``ids``."""
    corners = ((0.0, camera.horizon - 0.5), (1.0, camera.horizon - 0.5), (0.0, camera.horizon + 99.5))
    inverse = (0.0, 0.0, 100 / (camera.focal * camera.lift))
    table = np.zeros(256, np.uint16)
    for cls in (ROAD, SIDEWALK, TERRAIN):
        table[cls] = canvas.surface(Surface(cls, corners=corners, inverse_depths=inverse))
    canvas.keys[top:] = table[ids]


def _paint(canvas: Canvas, world: World, x: Float, z: Float, along: Float, top: int) -> Ids:
    """Colour the rows from ``top`` on; their class ids."""
    rng = np.random.default_rng((world.seed, 5))
    tone = rng.uniform(70, 165)
    road = np.array([tone * rng.uniform(0.97, 1.06), tone, tone * rng.uniform(0.97, 1.05)], np.float32)
    walk = np.array(np.full(3, rng.uniform(110, 190)) + rng.uniform(-12, 12, 3), np.float32)
    grass_tone = rng.uniform(55, 130)
    grass = np.array([grass_tone * rng.uniform(0.3, 0.6), grass_tone, grass_tone * rng.uniform(0.6, 1.1)], np.float32)
    mark = np.array([205, 222, 228] if rng.random() < 0.8 else [80, 190, 225], np.float32)

    half, side = np.float32(world.half_road), np.abs(x)
    ids = np.full(x.shape, TERRAIN, np.uint8)
    ids[side < half + 2.5] = SIDEWALK
    ids[side < half] = ROAD
    palette = np.zeros((256, 3), np.uint8)
    palette[ROAD], palette[SIDEWALK], palette[TERRAIN], palette[_MARK] = road, walk, grass, mark
    surface = ids.copy()
    surface[_marks(side, half, along)] = _MARK
    grain = noise_tile(world.seed)[((along * 14).astype(np.int32) % _TILE)[:, None], (x * 14).astype(np.int32) & 255]
    near = np.exp(-z / 45)[:, None].astype(np.float32)
    factor = 1 + grain * near * np.where(ids == TERRAIN, np.float32(0.26), np.float32(0.09))
    factor[(side > half) & (side < half + 0.25)] *= 1.22  # kerb stone
    factor[(side > half - 0.22) & (side < half)] *= 0.8  # gutter
    colour = cv2.LUT(cv2.merge([surface] * 3), palette[:, None, :])
    colour = cv2.multiply(colour, cv2.merge([factor] * 3), dtype=cv2.CV_8U)
    keep = np.repeat(np.exp(-canvas.fog * z)[:, None], x.shape[1], axis=1).astype(np.float32)
    canvas.image[top:] = cv2.blendLinear(colour, np.full_like(colour, 190), keep, 1 - keep)
    return ids


def _marks(side: Float, half: np.float32, along: Float) -> npt.NDArray[np.bool_]:
    """Where edge lines, the centre line and, on wide roads, dashed lane lines are."""
    dash = ((along % 9.0) < 4.0)[:, None]
    paint = (np.abs(side - (half - 0.5)) < 0.09) | ((side < 0.08) & dash)
    if half > 5.5:
        paint |= (np.abs(side - half / 2) < 0.08) & dash
    return np.asarray(paint, np.bool_)


def _skyline(canvas: Canvas, camera: Camera, world: World) -> None:
    """A far silhouette on the horizon: woods, or roofs in town."""
    rng = np.random.default_rng((world.seed, 6, int(camera.travelled // 400)))
    n = 48
    roofs = rng.random() < 0.4
    heights = rng.uniform(0.01, 0.09, n) * camera.height
    xs = np.linspace(-1, camera.width, n if not roofs else n // 3)
    ys = camera.horizon - heights[: len(xs)]
    if roofs:
        xs, ys = np.repeat(xs, 2)[1:], np.repeat(ys, 2)[:-1]
    top = [(round(float(a)), round(float(b))) for a, b in zip(xs, ys, strict=True)]
    bottom = round(camera.horizon) + 2
    shape = [(-1, bottom), *top, (camera.width, bottom)]
    tone = float(rng.uniform(60, 130))
    colour = (tone * 1.02, tone, tone * 0.98) if roofs else (tone * 0.5, tone * 0.85, tone * 0.6)
    canvas.polygon(shape, colour, BUILDING if roofs else VEGETATION, SKYLINE, [np.inf] * len(shape))
