"""Viewers of a live page that count what they get: MJPEG readers, a WebSocket, and a page in headless Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from node_under_test import cpu_s, descendants
from playwright.sync_api import sync_playwright
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

_BOUNDARY = b"--drivenet-frame"
REQUEST = b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_BROWSER_OPTIONS = ["--no-sandbox"]
#: Counts the pictures that the page has drawn.
_COUNT = """() => {
  window.drawn = 0;
  new MutationObserver((all) => { window.drawn += all.length; })
    .observe(document.body, { attributes: true, attributeFilter: ["data-frame"] });
}"""


class MjpegReader:
    """Reads ``/stream.mjpg`` in a thread and counts pictures; decodes none."""

    def __init__(self, port: int) -> None:
        self.pictures = 0
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.sendall(REQUEST)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        tail = b""
        try:
            while data := self._socket.recv(1 << 16):
                data = tail + data
                self.pictures += data.count(_BOUNDARY)
                tail = data[-len(_BOUNDARY) + 1 :]
        except OSError:  # closed
            return

    def close(self) -> None:
        with _quiet():
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


class PageReader:
    """Takes the WebSocket's pictures as the page does, without drawing them."""

    def __init__(self, port: int) -> None:
        self.pictures = 0
        self._socket = connect(f"ws://127.0.0.1:{port}/live", open_timeout=30)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for message in self._socket:
                if isinstance(message, bytes):
                    self.pictures += 1
                    self._socket.send("drawn")
        except ConnectionClosed:
            return

    def close(self) -> None:
        self._socket.close()
        self._thread.join()


class SlowReader:
    """Reads ``/stream.mjpg`` at one byte a second."""

    def __init__(self, port: int) -> None:
        self.read_bytes, self.cut = 0, False
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(REQUEST)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._stop.wait(1):
            try:
                got = len(self._socket.recv(1))
            except OSError:
                got = 0
            self.read_bytes += got
            self.cut = self.cut or not got

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()


def chromium_path() -> str:
    """Where Chromium is."""
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        raise SystemExit("no chromium on the PATH")
    return path


class Browser:
    """One page in headless Chromium on this machine.

    Args:
        driver: Playwright's.
        nice: lowers the browser's priority by so much.
    """

    def __init__(self, driver: Any, nice: int) -> None:
        before = os.getpriority(os.PRIO_PROCESS, 0)
        self._browser = driver.chromium.launch(executable_path=chromium_path(), args=_BROWSER_OPTIONS)
        self.viewport = {"width": 1280, "height": 900}
        self._page = self._browser.new_page(viewport=self.viewport)
        for process in self._processes() if nice else ():
            os.setpriority(os.PRIO_PROCESS, process, before + nice)
        self._nice = before + nice

    def describe(self) -> dict[str, Any]:
        return {
            "browser": f"Chromium {self._browser.version}, headless, on the same machine, software rendering",
            "options": _BROWSER_OPTIONS,
            "viewport": self.viewport,
            "nice": self._nice,
        }

    def open(self, port: int) -> None:
        self._page.goto(f"http://127.0.0.1:{port}/")
        self._page.evaluate(_COUNT)
        self._page.wait_for_function("() => window.drawn > 0")

    @property
    def pictures(self) -> int:
        return int(self._page.evaluate("window.drawn ?? 0"))

    def leave(self) -> None:
        self._page.goto("about:blank")

    def cpu_s(self) -> float:
        return cpu_s(self._processes())

    def close(self) -> None:
        self._browser.close()

    def _processes(self) -> list[int]:
        return [p for p in descendants(os.getpid()) if b"chrom" in _program(p)]


@contextmanager
def chromium(nice: int) -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = Browser(driver, nice)
        try:
            yield browser
        finally:
            browser.close()


def rates(watchers: dict[str, Any], seconds: float) -> dict[str, float]:
    """Pictures a second of each, over some time from now on."""
    before, start = {name: w.pictures for name, w in watchers.items()}, time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    return {name: round((w.pictures - before[name]) / took, 2) for name, w in watchers.items()}


def _program(process: int) -> bytes:
    """What a process runs; Chromium's helpers write their whole command as one word."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").partition(b" ")[0]
    except OSError:
        return b""


@contextmanager
def _quiet() -> Iterator[None]:
    try:
        yield
    except OSError:  # the other side was quicker
        return
