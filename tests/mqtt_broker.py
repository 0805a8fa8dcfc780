"""A real MQTT broker on loopback, and someone who listens to it."""

from __future__ import annotations

import json
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: Bound on what must happen at some time; only a hanging test gets there.
LONG_S = 60.0


def mosquitto() -> str:
    """The program, or a skip that names it."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if not found:
        pytest.skip("mosquitto (Debian package mosquitto) is not installed")
    return found


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Broker:
    """Mosquitto with a configuration of its own, on one port for all its lives."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        lines = (f"listener {self.port} 127.0.0.1", "persistence false", "user root", *settings)
        self._config.write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([mosquitto(), "-c", str(self._config)], stderr=subprocess.DEVNULL)
        wait_until(self._listens)

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def _listens(self) -> bool:
        assert self.process
        assert self.process.poll() is None, "mosquitto does not start"
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0


class Listener:
    """Hears everything below a topic; messages come as (topic, payload, retained)."""

    def __init__(
        self, port: int, topic: str, user: str | None = None, password: str | None = None, ca: str = ""
    ) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self._heard: queue.Queue[tuple[str, Any, bool]] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topic}/#")
        self._client.on_message = lambda *a: self._heard.put((a[2].topic, json.loads(a[2].payload), a[2].retain))
        ready: queue.Queue[None] = queue.Queue()
        self._client.on_subscribe = lambda *_: ready.put(None)
        self._client.username_pw_set(user, password)
        if ca:
            self._client.tls_set_context(ssl.create_default_context(cafile=ca))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        ready.get(timeout=LONG_S)

    def next(self, wanted: Callable[[str, Any], bool]) -> tuple[Any, bool]:
        """The next message that is wanted, and whether it was retained; others are passed over."""
        while True:
            topic, payload, retained = self._heard.get(timeout=LONG_S)
            if wanted(topic, payload):
                return payload, retained

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_connect = self._client.on_message = self._client.on_subscribe = None  # its sockets go with it


def wait_until(true: Callable[[], object]) -> None:
    until = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)
