"""CSI cameras of a Jetson, through GStreamer."""

from __future__ import annotations

import re
from fractions import Fraction

import cv2

from drivenet.address import split_settings
from drivenet.errors import SourceNotFoundError, UsageError
from drivenet.sources.capture import Capture
from drivenet.sources.opencv import silence_opencv
from drivenet.sources.options import Options
from drivenet.sources.uri import parse_count, parse_rate, parse_size

_SIZE, _FPS = (1280, 720), 30.0


def csi_pipeline(sensor: int, width: int, height: int, fps: float) -> str:
    """The GStreamer pipeline that gives BGR pictures of a CSI sensor, always the newest.

    Args:
        sensor: number of the sensor, from 0.
        width: in pixels; the ISP scales to it.
        height: likewise.
        fps: frames a second.
    """
    rate = Fraction(fps).limit_denominator(1001)
    return (
        f"nvarguscamerasrc sensor-id={sensor}"
        f" ! video/x-raw(memory:NVMM),width={width},height={height},framerate={rate.numerator}/{rate.denominator}"
        " ! nvvidconv ! video/x-raw,format=BGRx"
        " ! videoconvert ! video/x-raw,format=BGR"
        " ! appsink drop=true max-buffers=1 sync=false"
    )


def open_csi(uri: str, options: Options) -> Capture:
    """Open ``csi://N[?size=WxH&fps=N]``.

    Raises:
        UsageError: if the address is another, or this OpenCV has no GStreamer.
        SourceError: if the camera gives no picture.
        SourceNotFoundError: if there is no such camera.
    """
    address, settings = split_settings(uri, ("size", "fps"))
    sensor = parse_count(address.partition("://")[2], uri)
    width, height = parse_size(settings["size"], uri) if "size" in settings else _SIZE
    fps = parse_rate(settings["fps"], uri) if "fps" in settings else _FPS
    if not has_gstreamer(cv2.getBuildInformation()):
        raise UsageError(  # no waiting for the camera mends it
            f"{uri} needs GStreamer, which this OpenCV {cv2.__version__} lacks",
            "JetPack's own OpenCV",
            "on a Jetson: pip uninstall opencv-python, and a venv made with --system-site-packages",
        )
    silence_opencv()
    device = cv2.VideoCapture(csi_pipeline(sensor, width, height, fps), cv2.CAP_GSTREAMER)
    if not device.isOpened():
        raise SourceNotFoundError(
            f"no CSI camera {sensor}", cure="check its ribbon cable, and restart nvargus-daemon if it worked before"
        )
    return Capture(uri, device, (width, height))


def has_gstreamer(build_information: str) -> bool:
    """Whether the text of ``cv2.getBuildInformation()`` says that OpenCV was built with GStreamer."""
    return bool(re.search(r"GStreamer:\s+YES", build_information))
