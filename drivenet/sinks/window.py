"""A window on the desktop, with a few keys."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from drivenet.address import one_line
from drivenet.errors import SinkError
from drivenet.files import write_atomic
from drivenet.frame import Image
from drivenet.health import SILENT, Health
from drivenet.latency import now_ns
from drivenet.overlay import VIEWS, Painter, lost_view, marked
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink

_QUIT = (ord("q"), 27)
_PAUSE, _NEXT_VIEW, _SAVE, _LOCK = ord(" "), ord("\t"), ord("s"), ord("l")
_KEYS_HELP = "q quit, space pause, tab view, s save"
#: A first guess that fits the screens people have; the window can be resized.
_MAX_WIDTH, _MAX_HEIGHT = 1280, 720
#: Height and width of what is shown before the first picture.
_BLANK = (360, 640)
_PROBE = """
import os
if os.name == "posix":  # an abort must not leave a core file in the user's folder
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import cv2
cv2.namedWindow("drivenet")
cv2.waitKey(1)
cv2.destroyAllWindows()
"""
_PROBE_SECONDS = 20
_CURE = "without a window: --out FILE.mp4, or --headless for figures only"


class WindowSink(Sink):
    """Shows each result. q, escape or closing the window end the run; space freezes the picture while the run
    goes on; tab changes the view; s saves the picture as PNG in the current folder.

    Args:
        painter: the one that draws the results' views; it draws the other views on demand.
        title: of the window.
        lock: keeps the segments of the recording around now; the key l.

    Raises:
        SinkError: if no window can be opened here.
    """

    name = "window"
    overflow = "drop"
    main_thread = True  # HighGUI belongs to the thread that opened the window

    def __init__(self, painter: Painter, title: str = "drivenet", lock: Callable[[], None] = lambda: None) -> None:
        check_display()
        self._lock = lock
        self._painter, self._title = painter, one_line(title)  # other text ends the process in OpenCV
        self._visualize = painter.visualize
        self._paused = self._open = self._lost = False
        self._shape: tuple[int, ...] = ()
        self._result: Result | None = None
        self._age_ms = 0.0

    def publish(self, result: Result) -> None:
        """Show a result, unless paused, and obey the keys."""
        if self._dismissed():
            return
        if not self._paused:
            self._result = result
            self._age_ms = (now_ns() - result.frame.captured_ns) / 1e6
            self._show(self._picture(result))
        elif self._lost:
            self._refresh()
        self._lost = False
        self._obey(cv2.waitKey(1) & 0xFF)

    def marked(self, view: Image, health: Health) -> None:
        """Show the marked view, even where the picture was frozen, and obey the keys."""
        if not self._dismissed():
            self._lost = True
            self._show(view)
            self._obey(cv2.waitKey(1) & 0xFF)

    def health(self, health: Health) -> None:
        """Obey the keys though no picture comes; before the first one, say why there is none."""
        if self._dismissed():
            return
        if self._result is None and health.state in SILENT:
            blank = np.full((*_BLANK, 3), 40, np.uint8)
            self._show(lost_view(blank, health.seconds(), health.state.upper()))
        if self._open:
            self._obey(cv2.waitKey(1) & 0xFF)

    def close(self, totals: Totals) -> None:
        """Take the window down."""
        self._dismissed()
        if self._open:
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)
        self._open = False

    def _dismissed(self) -> bool:
        """Whether the viewer has had enough: a key said so, or the window is gone."""
        if self._open and not _is_visible(self._title):
            self._open, self.stop_requested = False, True
        return self.stop_requested

    def _obey(self, key: int) -> None:
        if key in _QUIT:
            self.stop_requested = True
        elif key == _LOCK:
            self._lock()
        elif key == _SAVE and self._result:
            self._save(self._result)
        elif key == _PAUSE:
            self._paused = not self._paused
            self._refresh()
        elif key == _NEXT_VIEW:
            self._visualize = VIEWS[(VIEWS.index(self._visualize) + 1) % len(VIEWS)]
            self._refresh()

    def _refresh(self) -> None:
        """Show a frozen picture again, as the last key wants it."""
        if self._result and self._paused:
            self._show(marked(self._picture(self._result), "PAUSED"))

    def _picture(self, result: Result) -> Image:
        if result.view is not None and self._visualize == self._painter.visualize:
            return result.view
        return self._painter.redraw(result.frame, result.classmap, result.scene, self._visualize, self._age_ms)

    def _show(self, view: Image) -> None:
        if not self._open:
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            cv2.setWindowTitle(self._title, f"{self._title}: {_KEYS_HELP}")
            self._open = True
        if view.shape != self._shape:
            self._shape = view.shape
            shrink = min(1.0, _MAX_WIDTH / view.shape[1], _MAX_HEIGHT / view.shape[0])
            cv2.resizeWindow(self._title, max(1, round(view.shape[1] * shrink)), max(1, round(view.shape[0] * shrink)))
        cv2.imshow(self._title, view)

    def _save(self, result: Result) -> None:
        """Write the picture; the window's title says where, or why not."""
        path = Path(f"drivenet_{result.frame.index:06d}.png").absolute()
        try:
            write_atomic(path, cv2.imencode(".png", self._picture(result))[1].tobytes())
            said = f"saved {path}"
        except OSError as error:
            said = f"cannot save {path}: {error.strerror}"
        cv2.setWindowTitle(self._title, f"{self._title}: {said}")


def _is_visible(title: str) -> bool:
    try:
        return bool(cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1)
    except cv2.error:  # Qt's answer once the last window is closed
        return False


def check_display() -> None:
    """Raise SinkError where no window can be opened.

    OpenCV ends the whole process if it cannot reach a display, so a child process opens a window first.
    """
    named = {name: os.environ.get(name, "") for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    if sys.platform == "linux" and not any(named.values()):
        raise SinkError("no window: neither DISPLAY nor WAYLAND_DISPLAY is set", "a desktop session", _CURE)
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SinkError(f"no window: the display gave no answer in {_PROBE_SECONDS} s", cure=_CURE) from None
    if "not implemented" in tried.stderr:
        cure = "pip uninstall opencv-python-headless and pip install opencv-python, or " + _CURE
        raise SinkError("no window: this OpenCV was built without one", "opencv-python", cure)
    if tried.returncode:
        where = ", ".join(f"{name}={value}" for name, value in named.items() if value)
        raise SinkError(f"no window: the display ({where}) cannot be used", "a desktop that OpenCV can reach", _CURE)
