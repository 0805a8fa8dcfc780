"""Cameras by number or device file, through V4L2 on Linux."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import cv2

from drivenet.address import split_settings
from drivenet.errors import SourceError, SourceNotFoundError, UsageError
from drivenet.sources.capture import Capture
from drivenet.sources.opencv import silence_opencv
from drivenet.sources.options import Options
from drivenet.sources.uri import parse_rate, parse_size

_LINUX = sys.platform.startswith("linux")


def open_camera(uri: str, options: Options) -> Capture:
    """Open ``0``, ``/dev/video0``, ``/dev/v4l/by-id/...`` or ``v4l2:///dev/video0``, each with ``[?size=WxH&fps=N]``.

    Raises:
        UsageError: if the address names no camera.
        SourceNotFoundError: if there is no such camera; names those that exist.
        SourceError: if it is busy, forbidden or gives no picture.
    """
    address, settings = split_settings(uri, ("size", "fps"))
    number = _number(address.removeprefix("v4l2://"), uri)
    size = parse_size(settings["size"], uri) if "size" in settings else None
    fps = parse_rate(settings["fps"], uri) if "fps" in settings else None
    silence_opencv()
    device = cv2.VideoCapture(number, cv2.CAP_V4L2 if _LINUX else cv2.CAP_ANY)
    if not device.isOpened():
        if not _LINUX:
            raise SourceNotFoundError(f"no camera {uri}", cure="count from 0")
        raise SourceError(f"{uri} cannot be opened as a camera", cure="end other programs that use it")
    _configure(device, size, fps)
    return Capture(uri, device, size)


def _number(address: str, uri: str) -> int:
    """The camera's number; on Linux only if its device file can be used."""
    if not _LINUX and address.isdecimal():
        return int(address)
    path = Path(f"/dev/video{int(address)}" if address.isdecimal() else address)
    # by-id links outlive replugging; OpenCV opens cameras by number only
    match = re.fullmatch(r"/dev/video(\d+)", os.path.realpath(path))
    if path.is_absolute() and not path.exists():
        raise SourceNotFoundError(f"no camera {uri}", cure=_existing())
    if not match:
        raise UsageError(f"{uri} is no camera", "a number, /dev/videoN or v4l2:///dev/videoN")
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(f"camera {uri} cannot be used: permission denied", cure="add yourself to the group video")
    return int(match[1])


def _existing() -> str:
    names = sorted((str(p) for p in Path("/dev").glob("video[0-9]*")), key=lambda name: (len(name), name))
    return f"choose from {', '.join(names)}" if names else "plug one in: there is no /dev/video* on this machine"


def _configure(device: cv2.VideoCapture, size: tuple[int, int] | None, fps: float | None) -> None:
    # the newest picture, not one that waited in the driver
    device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    if size is not None:
        # USB carries large pictures at full rate only when they are compressed
        device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        device.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        device.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    if fps is not None:
        device.set(cv2.CAP_PROP_FPS, fps)
