"""More connections than the page serves: health is still answered, and those who ask nothing make room."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Protocol

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from drivenet.sinks.web.ration import Ration

#: Beyond so many connections only health is answered, and beyond the second number the oldest that asks nothing is cut.
MAX_CONNECTIONS, MOST_CONNECTIONS = 128, 512
#: Handshakes of WebSockets by an address: each costs about as much as a small picture.
HANDSHAKES, HANDSHAKES_PER_S = 32, 8.0
_HEALTH = ("/healthz", "/readyz")
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    b"content-length: 5\r\n\r\nbusy\n"
)


class Waiting(Protocol):
    """A connection whose request has not come."""

    transport: asyncio.Transport


class Crowd:
    """The connections of a server that wait for their request, oldest first, and what strangers have left."""

    def __init__(self) -> None:
        self.handshakes = Ration(HANDSHAKES, HANDSHAKES_PER_S)
        self._waiting: dict[Waiting, None] = {}

    def wait(self, connection: Waiting) -> None:
        """A connection waits for its request from now on."""
        self._waiting.setdefault(connection)

    def served(self, connection: Waiting) -> None:
        """It does so no longer."""
        self._waiting.pop(connection, None)

    def make_room(self, newcomer: Waiting) -> None:
        """Cut the oldest connection that waits, or if all are being served the new one."""
        oldest = next(iter(self._waiting), newcomer)
        self._waiting.pop(oldest, None)
        oldest.transport.abort()


class HealthOnly:
    """ASGI: health as ever, and 503 for all else.

    Args:
        app: answers health.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] in _HEALTH:
            await self._app(scope, receive, send)
        else:
            busy = PlainTextResponse("too many connections\n", HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "5"})
            await busy(scope, receive, send)
