"""Exact optical flow of the synthetic drive: each surface's depth, the camera's way and the things' own motion."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from drivenet.synthetic.camera import NEAR, Camera
from drivenet.synthetic.canvas import Canvas
from drivenet.synthetic.ground import FAR

Flow = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float64]

#: Two depths of one pixel that differ by less than this fraction are of one surface.
SAME_DEPTH = 0.05


def flow_between(canvas: Canvas, camera: Camera, later: Camera, moved: Mapping[int, float]) -> tuple[Flow, Float]:
    """Where the surfaces of a frame are in another frame's camera.

    Args:
        canvas, camera: the frame.
        later: the other frame's camera.
        moved: metres that a body (0: all that stands still) comes nearer, by its id; NaN where it is gone.

    Returns:
        flow (H, W, 2) float32 in pixels, and the inverse depths (H, W) in 1/m that the surfaces have then; NaN where
        they are gone or behind the camera.
    """
    height, width = canvas.keys.shape
    u, v = np.arange(width)[None, :], np.arange(height)[:, None]
    inverse = inverse_depths(canvas)
    z = 1 / np.maximum(inverse, 1e-9)
    step = np.array([moved.get(s.body, moved[0]) for s in canvas.surfaces])[canvas.keys]
    z_later = z - step
    x = (u - camera.cx) * z / camera.focal - _shift(camera, z)
    y = camera.lift - (v - camera.horizon) * z / camera.focal
    with np.errstate(invalid="ignore", divide="ignore"):
        z_later[z_later < NEAR / 4] = np.nan
        du = later.cx + later.focal * (x + _shift(later, z_later)) / z_later - u
        dv = later.horizon + later.focal * (later.lift - y) / z_later - v
    far = inverse <= 0
    du[far], dv[far] = 0.0, later.horizon - camera.horizon
    return np.stack([du, dv], axis=-1).astype(np.float32), np.where(far, 0.0, 1 / z_later)


def inverse_depths(canvas: Canvas) -> Float:
    """1 / metres of every pixel, (H, W); 0 for what is infinitely far."""
    height, width = canvas.keys.shape
    u, v = np.arange(width)[None, :], np.arange(height)[:, None]
    planes = np.array([s.plane() for s in canvas.surfaces])
    low, high = (np.array([f(s.inverse_depths) for s in canvas.surfaces]) for f in (min, max))
    a, b, c = (planes[:, i][canvas.keys] for i in range(3))
    return np.asarray(np.clip(a * u + b * v + c, low[canvas.keys], high[canvas.keys]))


def still_seen(before: Canvas, after: Canvas, flow: Flow, inverse: Float) -> Mask:
    """Where the surface of a pixel is the one seen at its place in the other frame, (H, W)."""
    height, width = before.keys.shape
    u, v = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    places = np.nan_to_num(flow + np.stack(np.broadcast_arrays(u, v), axis=-1), nan=-1.0)
    columns, rows = np.round(places[..., 0]).astype(int), np.round(places[..., 1]).astype(int)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    at = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    same = (before.ids() == after.ids()[at]) & (before.instances() == after.instances()[at])
    there = inverse_depths(after)[at]
    return np.asarray(inside & same & (np.abs(there - inverse) <= SAME_DEPTH * np.maximum(there, 1 / FAR)))


def _shift(camera: Camera, z: Float) -> Float:
    """As :meth:`Camera.shift` for many distances, from a fine table."""
    grid = np.arange(0.0, FAR + 1.0, 0.25)
    return np.interp(z, grid, [camera.shift(float(d)) for d in grid])
