"""Servers on the loopback in place of those that a reader has, and a display."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.cli.cli_parts import started, wait_until
from tests.mqtt_broker import Broker, free_port
from tests.rtsp_servers import rtsp_server
from tests.virtual_display import virtual_display


@contextmanager
def servers(folder: Path, commands: str) -> Iterator[dict[str, int]]:
    """Start what these commands need; gives the ports by name."""
    with ExitStack() as stack:
        if "--show" in commands:
            _show(stack)
        yield {name: stack.enter_context(start(folder)) for name, (sign, start) in _STARTS.items() if sign in commands}


def _show(stack: ExitStack) -> None:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb (Debian package xvfb) is not installed")
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setenv("DISPLAY", stack.enter_context(virtual_display()))


@contextmanager
def _broker(folder: Path) -> Iterator[int]:
    found = Broker(folder, "allow_anonymous true")
    found.start()
    try:
        yield found.port
    finally:
        found.stop()


@contextmanager
def _router(folder: Path) -> Iterator[int]:
    zenoh = pytest.importorskip("zenoh", reason="eclipse-zenoh (extra [zenoh]) is not installed")
    port, config = free_port(), zenoh.Config()
    config.insert_json5("listen/endpoints", f'["tcp/127.0.0.1:{port}"]')
    config.insert_json5("scouting/multicast/enabled", "false")
    with zenoh.open(config):
        yield port


@contextmanager
def _streams(folder: Path) -> Iterator[int]:
    with rtsp_server(record=folder / "stream.h264") as port:
        yield port


@contextmanager
def _node(folder: Path) -> Iterator[int]:
    port = free_port()
    drive = ["synthetic://160x96@10", "--engine", "null", "--headless"]
    with started("run", *drive, "--serve", f"127.0.0.1:{port}", cwd=folder):
        wait_until(lambda: _listens(port))
        yield port


def _listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


#: By name of the port: what a command that needs the server has in it, and what starts the server.
_STARTS: dict[str, tuple[str, Callable[[Path], AbstractContextManager[int]]]] = {
    "broker": ("mqtt://", _broker),
    "router": ("zenoh://", _router),
    "streams": ("--out rtsp://", _streams),
    "node": ("/healthz", _node),
}
