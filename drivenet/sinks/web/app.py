"""The routes: the page, its WebSocket, pictures, figures and health. All of them only read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from http import HTTPStatus
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from drivenet.overlay import Painter
from drivenet.sinks.web.guard import Guard
from drivenet.sinks.web.live import LivePage
from drivenet.sinks.web.metrics import CONTENT_TYPE, exposition
from drivenet.sinks.web.security import Access
from drivenet.sinks.web.shots import Shot
from drivenet.sinks.web.slots import EndedError, Hub, TooManyViewersError
from drivenet.sinks.web.stats import Board

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
_BOUNDARY = "drivenet-frame"
_SEPARATOR = f"--{_BOUNDARY}\r\n".encode()
#: A marked picture is sent again after so long without a new one, so that its seconds count.
_LOST_TICK_S = 1.0
#: Pictures may be shown by pages of other sites (a dashboard); what a page could read may not.
_PICTURE_HEADERS = {"cross-origin-resource-policy": "cross-origin"}

Handler = Callable[[Request], Awaitable[Response]]


class Pictures:
    """Pictures and figures of the newest result.

    Args:
        hub: where results come from.
        board: the figures.
        painter: its alpha is the overlay's; it is not used itself, since it belongs to another thread.
    """

    def __init__(self, hub: Hub, board: Board, painter: Painter) -> None:
        self._hub, self._board = hub, board
        self._painter = Painter(painter.labels, "overlay", painter.alpha)

    async def frame(self, request: Request) -> Response:
        """``/frame.jpg``: the picture as captured."""
        return await self._still("frame", "image/jpeg", lambda shot: shot.frame_jpeg())

    async def mask(self, request: Request) -> Response:
        """``/mask.png``: class ids at engine size, with a palette."""
        return await self._still("mask", "image/png", lambda shot: shot.mask_png())

    async def _still(self, kind: str, media: str, encode: Callable[[Shot], bytes]) -> Response:
        """A picture that cannot be marked, and is therefore given only while it is new."""
        shot, (state, seconds) = self._hub.newest, self._board.state()
        if shot is None or state != "ok":
            return _unavailable(f"{state} for {seconds:.0f} s: no new picture\n")
        data = await self._hub.encoded(shot, kind, lambda: encode(shot))
        return Response(data, media_type=media, headers={**_PICTURE_HEADERS, "x-frame-index": _index(shot)})

    async def overlay(self, request: Request) -> Response:
        """``/overlay.jpg``: with class colours, boxes and figures; marked where the source is lost."""
        shot = self._hub.newest
        if shot is None:
            return _unavailable("starting: no picture yet\n")
        data = await self._overlay(shot)
        headers = {**_PICTURE_HEADERS, "x-frame-index": _index(shot)}
        return Response(data, media_type="image/jpeg", headers=headers)

    async def stream(self, request: Request) -> Response:
        """``/stream.mjpg``: overlays one after the other, as fast as the viewer takes them."""
        place = ExitStack()
        try:
            slot = place.enter_context(self._hub.watch())
        except TooManyViewersError:
            return _unavailable("too many viewers\n")

        async def parts() -> AsyncIterator[bytes]:
            shot: Shot | None = None
            yield _SEPARATOR
            while True:
                try:
                    shot = await asyncio.wait_for(slot.take(), _LOST_TICK_S)
                except asyncio.TimeoutError:
                    if shot is None or self._board.state()[0] == "ok":
                        continue
                except EndedError:
                    return
                data = await self._overlay(shot)
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                # with the separator after it: a browser shows a part when the next one begins
                yield head.encode() + data + b"\r\n" + _SEPARATOR

        media = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return WatchingResponse(parts(), place, media)

    async def _overlay(self, shot: Shot) -> bytes:
        state, seconds = self._board.state()
        lost_s = seconds if state in ("lost", "stale") else None
        kind = ("overlay", None if lost_s is None else int(lost_s))
        hud = self._board.hud()
        return await self._hub.encoded(shot, kind, lambda: shot.overlay_jpeg(self._painter, hud, lost_s))


class WatchingResponse(StreamingResponse):
    """A stream that gives its viewer's place back, however it ends."""

    def __init__(self, parts: AsyncIterator[bytes], place: ExitStack, media: str) -> None:
        super().__init__(parts, media_type=media, headers=_PICTURE_HEADERS)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the viewer leaves."""
        with self._place:
            if scope["method"] == "HEAD":
                await Response(media_type=self.media_type, headers=_PICTURE_HEADERS)(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)


class Figures:
    """Statistics, metrics and health.

    Args:
        hub: counts viewers.
        board: the figures.
    """

    def __init__(self, hub: Hub, board: Board) -> None:
        self._hub, self._board = hub, board
        self._expose = exposition(board, lambda: hub.viewers)

    async def stats(self, request: Request) -> Response:
        """``/stats.json``."""
        return JSONResponse({**self._board.document(), **self._hub.watched()})

    async def metrics(self, request: Request) -> Response:
        """``/metrics``, for Prometheus."""
        return Response(self._expose(), headers={"content-type": CONTENT_TYPE})

    async def health(self, request: Request) -> Response:
        """``/healthz``: whether the node does its work; a node that is still starting does."""
        return self._health(request, {"ok", "starting"})

    async def ready(self, request: Request) -> Response:
        """``/readyz``: whether there are results now."""
        return self._health(request, {"ok"})

    def _health(self, request: Request, good: set[str]) -> Response:
        state, seconds = self._board.state()
        status = HTTPStatus.OK if state in good else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"state": state, "seconds": round(seconds, 1)}, status)


def build_app(hub: Hub, board: Board, painter: Painter, access: Access) -> ASGIApp:
    """The guarded application."""
    pictures, figures = Pictures(hub, board, painter), Figures(hub, board)
    routes: dict[str, Handler] = {
        "/stream.mjpg": pictures.stream,
        "/frame.jpg": pictures.frame,
        "/overlay.jpg": pictures.overlay,
        "/mask.png": pictures.mask,
        "/stats.json": figures.stats,
        "/metrics": figures.metrics,
        "/healthz": figures.health,
        "/readyz": figures.ready,
        **_static_routes(),
    }
    live = LivePage(hub, board, painter)
    app = Starlette(
        routes=[
            *(Route(path, handler, methods=["GET"]) for path, handler in routes.items()),
            WebSocketRoute("/live", live.serve),
        ]
    )
    return Guard(app, access)


def _static_routes() -> dict[str, Handler]:
    """The files of the page, read once: no request ever names a path on the disk."""
    found: dict[str, Handler] = {}
    root = files(__package__) / "static"
    for folder, prefix in ((root, "/"), (root / "vendor", "/vendor/")):
        for file in folder.iterdir():
            media = next((m for suffix, m in _TYPES.items() if file.name.endswith(suffix)), None)
            if media:
                path = "/" if file.name == "index.html" else prefix + file.name
                found[path] = _static(file.read_bytes(), media)
    return found


def _static(data: bytes, media: str) -> Handler:
    async def answer(request: Request) -> Response:
        return Response(data, headers={"content-type": media, "cache-control": "no-cache"})

    return answer


def _unavailable(text: str) -> Response:
    return PlainTextResponse(text, HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "1"})


def _index(shot: Shot) -> str:
    return json.dumps(shot.result.frame.index)
