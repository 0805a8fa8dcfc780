"""The window: refused in one line without a display; shown, steered by keys and closed on a real X server."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest

from drivenet.errors import SinkError
from drivenet.labels import CAMVID
from drivenet.overlay import VIEWS, Painter
from drivenet.sinks.window import WindowSink
from tests.virtual_display import virtual_display

_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="displays are found otherwise here")
_TOOLS_MISSING = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
_NEEDS_X = pytest.mark.skipif(bool(_TOOLS_MISSING), reason=f"{' and '.join(_TOOLS_MISSING)} not installed")

#: Publishes until the window wants to stop; prints a line whenever its state changes.
_VIEWER = """
import sys
sys.path.insert(0, sys.argv[1])
from sink_results import fares, make_result
from dataclasses import replace
from drivenet.hud import Hud
from drivenet.labels import CAMVID
from drivenet.overlay import Painter, lost_view
from drivenet.result import Totals
from drivenet.sinks.window import WindowSink
painter = Painter(CAMVID)
sink = WindowSink(painter, "drivenet stra\\udcdfe.mp4")  # OpenCV itself dies of such a name
index, said = 0, ""
while not sink.stop_requested:
    plain = make_result(index, size=(180, 320), view=False)
    view = painter.draw(plain.frame, plain.classmap, plain.scene, Hud(1.0, {}, {}, {}))
    sink.publish(replace(plain, view=view))
    if index % 10 == 5:
        sink.marked(lost_view(view, 1.0), fares("lost", 1.0))
    state = f"{'paused' if sink._paused else 'running'} {sink._visualize}"
    if state != said:
        print(state, flush=True)
    index, said = index + 1, state
sink.publish(plain)
sink.close(Totals())
print("stopped", flush=True)
"""


def without_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


@_LINUX
def test_no_display_is_one_line_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    without_display(monkeypatch)
    with pytest.raises(SinkError, match=r"neither DISPLAY nor WAYLAND_DISPLAY is set; .*--out FILE\.mp4"):
        WindowSink(Painter(CAMVID))


@_LINUX
def test_a_display_that_nobody_serves_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_display(monkeypatch)
    monkeypatch.setenv("DISPLAY", ":31999")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SinkError, match=r"no window: (the display \(DISPLAY=:31999\)|this OpenCV was built)"):
        WindowSink(Painter(CAMVID))
    assert not list(tmp_path.iterdir())


def test_an_opencv_without_windows_is_named_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = "error: (-2:Unspecified error) The function is not implemented. Rebuild the library"
    (tmp_path / "cv2.py").write_text(f"def namedWindow(name): raise RuntimeError({said!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":31999")
    with pytest.raises(SinkError, match=r"built without one; .*pip install opencv-python"):
        WindowSink(Painter(CAMVID))


@pytest.fixture
def display() -> Iterator[str]:
    """The name of a virtual display."""
    with virtual_display() as name:
        yield name


@pytest.fixture
def viewer(display: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A program that shows frames on that display, in an empty folder."""
    without_display(monkeypatch)
    monkeypatch.setenv("DISPLAY", display)
    command = [sys.executable, "-c", _VIEWER, str(Path(__file__).parent)]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    ) as program:
        yield program
        program.kill()


def next_line(program: subprocess.Popen[str]) -> str:
    assert program.stdout
    return program.stdout.readline().strip()


def xdotool(*words: str) -> str:
    done = subprocess.run(["xdotool", *words], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


def shown_window() -> str:
    return xdotool("search", "--sync", "--onlyvisible", "--name", "drivenet").splitlines()[0]


def presser(window: str) -> Callable[[str], None]:
    def press(key: str) -> None:
        xdotool("windowfocus", "--sync", window, "key", "--window", window, key)

    return press


@_LINUX
@_NEEDS_X
def test_the_keys_do_what_they_say(viewer: subprocess.Popen[str], tmp_path: Path) -> None:
    assert next_line(viewer) == "running overlay"
    window = shown_window()
    assert "q quit" in xdotool("getwindowname", window)
    press = presser(window)
    states = []
    for key in (*["Tab"] * len(VIEWS), "space", "Tab"):
        press(key)
        states.append(next_line(viewer))
    assert states == [*(f"running {view}" for view in (*VIEWS[1:], VIEWS[0])), "paused overlay", "paused mask"]
    press("s")
    press("space")
    assert next_line(viewer) == "running mask"
    (saved,) = tmp_path.iterdir()
    assert saved.name.startswith("drivenet_")
    picture = cv2.imread(str(saved))
    assert picture.shape == (180, 320, 3)
    assert picture[130, 160].tolist() == list(CAMVID.palette[CAMVID.id_of("Road")][::-1])
    assert str(saved) in xdotool("getwindowname", window)
    press("q")
    assert next_line(viewer) == "stopped"
    assert viewer.wait(20) == 0


@_LINUX
@_NEEDS_X
def test_escape_ends_the_run(viewer: subprocess.Popen[str]) -> None:
    assert next_line(viewer) == "running overlay"
    presser(shown_window())("Escape")
    assert next_line(viewer) == "stopped"
    assert viewer.wait(20) == 0


@_LINUX
@_NEEDS_X
def test_closing_the_window_ends_the_run(viewer: subprocess.Popen[str]) -> None:
    assert next_line(viewer) == "running overlay"
    ask_to_close(int(shown_window()))
    assert next_line(viewer) == "stopped"
    assert viewer.wait(20) == 0


class ClientMessage(ctypes.Structure):
    """Xlib's XClientMessageEvent, padded to the size of an XEvent."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("padding", ctypes.c_long * 24),
    )


def ask_to_close(window: int) -> None:
    """What a window manager sends when its close button is pressed; Debian's xdotool cannot."""
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype, x11.XInternAtom.restype = ctypes.c_void_p, ctypes.c_ulong
    connection = ctypes.c_void_p(x11.XOpenDisplay(None))
    protocols, delete = (x11.XInternAtom(connection, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    message = ClientMessage(type=33, window=window, message_type=protocols, format=32)
    message.data[0] = delete
    assert x11.XSendEvent(connection, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    x11.XCloseDisplay(connection)
