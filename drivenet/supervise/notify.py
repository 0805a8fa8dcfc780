"""What systemd wants to know of a service: that it is ready, alive, and how it is (sd_notify)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


class Notifier:
    """Sends datagrams to the socket in ``NOTIFY_SOCKET``; does nothing where there is none.

    The variables are taken out of the environment, so that children do not speak in this process's name.
    """

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        limit_us = os.environ.pop("WATCHDOG_USEC", "")
        of_us = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        #: Seconds between two signs of life; 0 if nobody waits for any.
        self.every_s = int(limit_us) / 1e6 / 3 if limit_us.isdigit() and of_us else 0.0
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._said = ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None

    def ready(self) -> None:
        """The service does its work from now on."""
        self._send("READY=1")

    def alive(self) -> None:
        """Put the watchdog off."""
        if self.every_s:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The service is about to end."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line on how it is, for ``systemctl status``."""
        line = f"STATUS={' '.join(text.split())}"
        if line != self._said:
            self._said = line
            self._send(line)

    def _send(self, text: str) -> None:
        if self._socket:
            with suppress(OSError):
                self._socket.sendto(text.encode(), self._address)
