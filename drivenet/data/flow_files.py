"""Optical flow in files: Middlebury's ``.flo`` and KITTI's PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from drivenet.data.sequences.base import Flow, Mask
from drivenet.decoding import decode, read_bytes
from drivenet.errors import SourceError

#: First number of a ``.flo`` file (Baker et al. 2011, Middlebury).
_FLO = 202021.25
#: Stands for a flow that is not known; anything above 1e9 is read so.
_UNKNOWN = 1e10


def read_flow(file: Path) -> tuple[Flow, Mask]:
    """Flow of a ``.flo`` file or of KITTI's 16-bit PNG (Geiger et al. 2012): (H, W, 2) and where it is known.

    Raises:
        SourceError: for a file that is neither.
    """
    content = read_bytes(file)
    return _flo(content, file) if file.suffix.lower() == ".flo" else _kitti(content, file)


def write_flo(flow: Flow, known: Mask | None = None) -> bytes:
    """A flow as the content of a ``.flo`` file; where it is not known, 1e10 as the format has it."""
    if known is not None:
        flow = np.where(known[..., None], flow, np.float32(_UNKNOWN))
    height, width = flow.shape[:2]
    head = np.array([_FLO], "<f4").tobytes() + np.array([width, height], "<i4").tobytes()
    return head + np.ascontiguousarray(flow, "<f4").tobytes()


def write_kitti(flow: Flow, known: Mask) -> bytes:
    """A flow as the content of KITTI's PNG, to 1/64 of a pixel and up to 512 pixels."""
    known = known & (np.abs(flow).max(-1) < 511)
    values = np.where(known[..., None], np.rint(flow.astype(np.float64) * 64 + 2**15), 0).astype(np.uint16)
    stored = np.stack([known.astype(np.uint16), values[..., 1], values[..., 0]], -1)
    return cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _flo(content: bytes, file: Path) -> tuple[Flow, Mask]:
    if len(content) < 12 or float(np.frombuffer(content, "<f4", 1)[0]) != _FLO:
        raise SourceError(f"{file} does not begin with {_FLO}", "a .flo file")
    width, height = (int(v) for v in np.frombuffer(content, "<i4", 2, 4))
    if width < 1 or height < 1 or len(content) != 12 + 8 * width * height:
        raise SourceError(f"{file} has {len(content)} bytes for {width}x{height}", "a whole .flo file")
    flow = np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2).astype(np.float32)
    return flow, np.asarray(np.abs(flow).max(-1) < 1e9)


def _kitti(content: bytes, file: Path) -> tuple[Flow, Mask]:
    stored = decode(content, cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3:
        raise SourceError(f"{file} is no flow", "a 16-bit RGB PNG as KITTI's")
    values = np.asarray(stored[..., :0:-1], np.float32)  # BGR: red is x, green y, blue whether it is known
    return np.asarray((values - 2**15) / 64, np.float32), np.asarray(np.asarray(stored[..., 0], np.uint16) > 0)
