"""The routes: the page, its WebSocket, pictures, figures and health. All of them only read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from drivenet.health import SILENT, WORKING
from drivenet.overlay import Painter
from drivenet.sinks.jsonl import to_json
from drivenet.sinks.web.access import Access
from drivenet.sinks.web.forwarded import Proxy
from drivenet.sinks.web.hub import EndedError, Hub, TooManyViewersError
from drivenet.sinks.web.metrics import CONTENT_TYPE, exposition
from drivenet.sinks.web.middleware import AccessMiddleware
from drivenet.sinks.web.run_stats import RunStats
from drivenet.sinks.web.snapshot import Snapshot
from drivenet.sinks.web.websocket import LivePage

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
_ENDS = "the node ends\n"
#: Pictures may be shown by pages of other sites (a dashboard); what a page could read may not.
_PICTURE_HEADERS = {"cross-origin-resource-policy": "cross-origin"}

Handler = Callable[[Request], Awaitable[Response]]


class Pictures:
    """Pictures and figures of the newest result.

    Args:
        hub: where results come from.
        stats: the figures.
        painter: its alpha is the overlay's; it is not used itself, since it belongs to another thread.
    """

    def __init__(self, hub: Hub, stats: RunStats, painter: Painter) -> None:
        self._hub, self._stats = hub, stats
        self._painter = Painter(painter.labels, "overlay", painter.alpha, painter.hud)

    async def frame(self, request: Request) -> Response:
        """``/frame.jpg``: the picture as captured."""
        return await self._still("frame", "image/jpeg", lambda snapshot: snapshot.frame_jpeg())

    async def mask(self, request: Request) -> Response:
        """``/mask.png``: class ids at engine size, with a palette."""
        return await self._still("mask", "image/png", lambda snapshot: snapshot.mask_png())

    async def _still(self, kind: str, media: str, encode: Callable[[Snapshot], bytes]) -> Response:
        """A picture that cannot be marked, and is therefore given only while it is new."""
        snapshot, (state, seconds) = self._hub.newest, self._stats.state()
        if snapshot is None or state not in WORKING:
            return _unavailable(f"{state} for {seconds:.0f} s: no new picture\n")
        try:
            data = await self._hub.encoded(snapshot, kind, lambda: encode(snapshot))
        except EndedError:
            return _unavailable(_ENDS)
        return Response(data, media_type=media, headers={**_PICTURE_HEADERS, "x-frame-index": _index(snapshot)})

    async def overlay(self, request: Request) -> Response:
        """``/overlay.jpg``: with class colours, boxes and figures; marked where it is old or suspect."""
        snapshot = self._hub.newest
        if snapshot is None:
            return _unavailable("starting: no picture yet\n")
        try:
            data = await self._overlay(snapshot)
        except EndedError:
            return _unavailable(_ENDS)
        headers = {**_PICTURE_HEADERS, "x-frame-index": _index(snapshot)}
        return Response(data, media_type="image/jpeg", headers=headers)

    async def stream(self, request: Request) -> Response:
        """``/stream.mjpg``: overlays one after the other, as fast as the viewer takes them."""
        place = ExitStack()
        try:
            slot = place.enter_context(self._hub.watch())
        except TooManyViewersError:
            return _unavailable("too many viewers\n")

        async def parts() -> AsyncIterator[bytes]:
            snapshot: Snapshot | None = None
            yield _SEPARATOR
            while True:
                try:
                    try:
                        snapshot = await asyncio.wait_for(slot.take(), _LOST_TICK_S)
                    except asyncio.TimeoutError:
                        if snapshot is None or self._stats.state()[0] in WORKING:
                            continue
                    data = await self._overlay(snapshot)
                except EndedError:
                    return
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                # with the separator after it: a browser shows a part when the next one begins
                yield head.encode() + data + b"\r\n" + _SEPARATOR

        media = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return WatchingResponse(parts(), place, media)

    async def _overlay(self, snapshot: Snapshot) -> bytes:
        state, seconds = self._stats.state()
        old = (state, 0 if state == "ended" else int(seconds)) if state in SILENT else None
        hud = self._stats.hud()
        encode = partial(snapshot.overlay_jpeg, self._painter, hud, old)
        return await self._hub.encoded(snapshot, "overlay", encode, marked=(old, hud["warning"]))


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
        stats: the figures.
    """

    def __init__(self, hub: Hub, stats: RunStats) -> None:
        self._hub, self._stats = hub, stats
        self._expose = exposition(stats, lambda: hub.viewers)

    async def stats(self, request: Request) -> Response:
        """``/stats.json``."""
        return json_response({**self._stats.document(), **self._hub.watched()})

    async def metrics(self, request: Request) -> Response:
        """``/metrics``, for Prometheus."""
        return Response(self._expose(), headers={"content-type": CONTENT_TYPE})

    async def health(self, request: Request) -> Response:
        """``/healthz``: whether the node does its work; a node that is still starting does."""
        return self._health(WORKING | {"starting"})

    async def ready(self, request: Request) -> Response:
        """``/readyz``: whether there are results now."""
        return self._health(WORKING)

    def _health(self, good: Collection[str]) -> Response:
        health = self._stats.health()
        status = HTTPStatus.OK if health.state in good else HTTPStatus.SERVICE_UNAVAILABLE
        return json_response(health.to_dict(), status)


def build_app(hub: Hub, stats: RunStats, painter: Painter, access: Access, proxy: Proxy | None = None) -> ASGIApp:
    """The guarded application."""
    return AccessMiddleware(channel_app(hub, stats, painter), access, proxy)


def channel_app(hub: Hub, stats: RunStats, painter: Painter) -> Starlette:
    """All that there is of one source."""
    pictures, figures = Pictures(hub, stats, painter), Figures(hub, stats)
    routes: dict[str, Handler] = {
        "/stream.mjpg": pictures.stream,
        "/frame.jpg": pictures.frame,
        "/overlay.jpg": pictures.overlay,
        "/mask.png": pictures.mask,
        "/stats.json": figures.stats,
        "/metrics": figures.metrics,
        "/healthz": figures.health,
        "/readyz": figures.ready,
        **static_routes(),
    }
    live = LivePage(hub, stats, painter)
    found = [Route(path, handler, methods=["GET"]) for path, handler in routes.items()]
    found.append(Route("/lock", _locking(hub), methods=["POST"]))
    return application([*found, *slashed(found), WebSocketRoute("/live", live.serve)])


def application(routes: Sequence[BaseRoute]) -> Starlette:
    """Of these routes alone: Starlette's own redirects are to host and path as it was asked, not as a proxy was."""
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


def slashed(routes: Sequence[Route]) -> list[Route]:
    """From each path with a slash at its end to the path, under any path of a proxy."""
    return [
        Route(f"{one.path}/", _without_slash, methods=list(one.methods or ()))
        for one in routes
        if not one.path.endswith("/")
    ]


async def _without_slash(request: Request) -> Response:
    name, query = request.scope["path"].split("/")[-2], request.url.query
    return RedirectResponse(f"../{name}?{query}" if query else f"../{name}")


def _locking(hub: Hub) -> Handler:
    async def answer(request: Request) -> Response:
        """``POST /lock``: never delete what is recorded from 10 s ago to 10 s from now."""
        if hub.lock is None:
            return PlainTextResponse("there are no segments to lock\n", HTTPStatus.NOT_FOUND)
        try:
            await run_in_threadpool(hub.lock)  # it waits for the disk
        except OSError as error:
            return _unavailable(f"not locked: {error.strerror or error}\n")
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return answer


def static_routes() -> dict[str, Handler]:
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


def json_response(content: dict[str, Any], status: int = HTTPStatus.OK) -> Response:
    """An answer as JSON, whatever a number or a text in it is."""
    return Response(to_json(content), status, media_type="application/json")


def _unavailable(text: str) -> Response:
    return PlainTextResponse(text, HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "1"})


def _index(snapshot: Snapshot) -> str:
    return json.dumps(snapshot.result.frame.index)
