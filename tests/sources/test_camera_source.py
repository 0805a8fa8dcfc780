"""Cameras. Recordings stand in for the device behind OpenCV's capture, since few test machines have one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from source_clips import FPS, HEIGHT, WIDTH, read, write_clip

from drivenet.errors import SourceError, SourceLostError, SourceNotFoundError, UsageError
from drivenet.sources import open_source
from drivenet.sources.camera import open_camera
from drivenet.sources.capture import Capture
from drivenet.sources.csi import csi_pipeline, has_gstreamer, open_csi
from drivenet.sources.detached import Detached
from drivenet.sources.options import Options
from drivenet.sources.reconnect import Reconnecting

#: Bound on waiting for what must happen; only a hanging test gets there.
LONG_S = 20.0
ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="device files are Linux's")


def device(tmp_path: Path) -> cv2.VideoCapture:
    return cv2.VideoCapture(str(write_clip(tmp_path / "a.avi", frames=10, codec="mjpeg")))


def test_a_camera_that_is_unplugged(tmp_path: Path) -> None:
    source = Capture("camera 0", device(tmp_path))
    assert (source.live, source.fps, source.size) == (True, FPS, (HEIGHT, WIDTH))
    frames, error = read(source)
    # the first picture served to see whether any come
    assert [f.index for f in frames] == list(range(9))
    assert isinstance(error, SourceLostError)
    assert "camera 0 gave no picture after 9 frames" in str(error)


def test_a_camera_without_pictures() -> None:
    with pytest.raises(SourceError, match="opens but gives no picture"):
        Capture("camera 0", cv2.VideoCapture())


def test_a_camera_that_has_not_the_size(tmp_path: Path) -> None:
    assert Capture("camera 0", device(tmp_path), (WIDTH, HEIGHT)).size == (HEIGHT, WIDTH)
    with pytest.raises(SourceError, match=f"gives {WIDTH}x{HEIGHT}; expected 640x480"):
        Capture("camera 0", device(tmp_path), (640, 480))


def test_closing_a_camera(tmp_path: Path) -> None:
    source = Capture("camera 0", device(tmp_path))
    frames = iter(source)
    next(frames)
    source.close()
    assert not list(frames)


class Device:
    """Gives what a script says, call by call, and then pictures."""

    def __init__(self, *script: Callable[[], tuple[bool, np.ndarray | None]]) -> None:
        self.script, self.released = list(script), threading.Event()

    def read(self) -> tuple[bool, np.ndarray | None]:
        assert not self.released.is_set()
        return self.script.pop(0)() if self.script else picture()

    def get(self, _: int) -> float:
        return 30.0

    def release(self) -> None:
        assert not self.released.is_set()
        self.released.set()


def picture() -> tuple[bool, np.ndarray]:
    return True, np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def damaged() -> tuple[bool, None]:
    """A JPEG that cannot be decoded, as V4L2 reports it."""
    return True, None


def failing() -> tuple[bool, None]:
    raise cv2.error("!buf.empty()")


@pytest.mark.parametrize("bad", [damaged, failing])
def test_a_damaged_picture_is_passed_over_and_five_are_a_loss(bad: Callable[[], tuple[bool, None]]) -> None:
    source = Capture("camera 0", cast("cv2.VideoCapture", Device(picture, picture, bad, picture, *[bad] * 5)))
    frames, error = read(source)
    assert [f.index for f in frames] == [0, 1]
    assert isinstance(error, SourceLostError)


def test_closing_does_not_wait_for_a_read_that_does_not_return() -> None:
    """A camera that hangs holds its read for ten seconds or for ever; it is released when that returns."""
    reading, unplugged = threading.Event(), threading.Event()

    def hang() -> tuple[bool, None]:
        reading.set()
        assert unplugged.wait(LONG_S)
        return False, None

    device = Device(picture, hang)
    source = Detached(lambda: Reconnecting(lambda: Capture("camera 0", cast("cv2.VideoCapture", device))))
    frames = iter(source)
    assert reading.wait(LONG_S)
    source.close()
    assert not list(frames)
    assert not device.released.is_set(), "never under a read"
    unplugged.set()
    assert device.released.wait(LONG_S)


@ON_LINUX
@pytest.mark.parametrize("uri", ["97", "/dev/video97", "v4l2:///dev/video97", "v4l2://97", "/dev/v4l/by-id/none"])
def test_a_missing_camera_names_those_that_exist(uri: str) -> None:
    with pytest.raises(SourceNotFoundError, match="no camera") as caught:
        open_camera(uri, Options())
    existing = sorted(Path("/dev").glob("video[0-9]*"))
    assert (str(existing[0]) if existing else "no /dev/video*") in str(caught.value)


@ON_LINUX
@pytest.mark.parametrize("uri", ["v4l2://", "v4l2://front", "v4l2:///dev/null", "0?size=big", "0?fsp=30"])
def test_what_names_no_camera(uri: str) -> None:
    with pytest.raises((UsageError, SourceNotFoundError)):
        open_camera(uri, Options())


def test_the_pipeline_of_a_csi_camera() -> None:
    assert csi_pipeline(1, 1920, 1080, 29.97) == (
        "nvarguscamerasrc sensor-id=1"
        " ! video/x-raw(memory:NVMM),width=1920,height=1080,framerate=2997/100"
        " ! nvvidconv ! video/x-raw,format=BGRx"
        " ! videoconvert ! video/x-raw,format=BGR"
        " ! appsink drop=true max-buffers=1 sync=false"
    )


def test_whether_opencv_has_gstreamer() -> None:
    assert has_gstreamer("  Video I/O:\n    GStreamer:                   YES (1.16.3)\n")
    assert not has_gstreamer("  Video I/O:\n    GStreamer:                   NO\n")


def test_a_csi_camera_without_gstreamer() -> None:
    if has_gstreamer(cv2.getBuildInformation()):
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(UsageError, match=r"needs GStreamer.*JetPack's own OpenCV"):
        open_source("csi://0?size=1280x720&fps=60", patient=True, forgiving=True)  # it would wait for ever
    with pytest.raises(UsageError, match="whole number"):
        open_csi("csi://front", Options())
