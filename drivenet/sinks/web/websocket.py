"""The page's WebSocket: pictures as the viewer takes them, figures twice a second."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from drivenet._version import __version__
from drivenet.labels import LabelSet
from drivenet.latency import now_ns
from drivenet.overlay import Painter
from drivenet.sinks.web.hub import EndedError, Hub, Slot, TooManyViewersError
from drivenet.sinks.web.run_stats import WINDOWS_S, RunStats
from drivenet.sinks.web.snapshot import Snapshot

_STATS_S = 0.5
#: Pictures on the way to one viewer: the next is sent when it has drawn the last but one.
_IN_FLIGHT = 2
#: Frames whose stage times a new viewer gets for its chart at once, and at most with one message.
_BACKLOG = 3000


class LivePage:
    """Serves viewers.

    Args:
        hub: where results come from.
        stats: the figures.
        painter: names the labels and the share of colour to begin with.
    """

    def __init__(self, hub: Hub, stats: RunStats, painter: Painter) -> None:
        self._hub, self._stats, self._painter = hub, stats, painter
        self._document: tuple[int, dict[str, Any]] = (0, {})

    async def serve(self, socket: WebSocket) -> None:
        """One viewer, from its coming to its leaving."""
        try:
            with self._hub.watch() as slot:
                await socket.accept()
                await Viewer(socket, slot, self).run()
        except TooManyViewersError:
            await socket.send_denial_response(PlainTextResponse("too many viewers\n", 503, {"retry-after": "5"}))

    def hello(self) -> dict[str, Any]:
        """What does not change during a run."""
        return {
            "type": "hello",
            "version": __version__,
            "labels": _labels(self._painter.labels),
            "alpha": self._painter.alpha,
            "stages": self._stats.stages,
            "windows_s": WINDOWS_S,
        }

    def stats(self, seen: int) -> tuple[dict[str, Any], int]:
        """The figures, made once for all viewers, with the stage times of frames after the first ``seen``."""
        made, document = self._document
        if not document or now_ns() - made > _STATS_S * 0.9e9:
            document = self._stats.document()
            self._document = (now_ns(), document)
        with self._stats.lock:
            count = self._stats.samples.count
            rows = self._stats.samples.since(max(seen, count - _BACKLOG))[:, :-1]
        message = {**document, "type": "stats", **self._hub.watched(), "samples": rows.round(2).tolist()}
        return message, count

    async def packet(self, snapshot: Snapshot) -> bytes:
        """A picture as the page reads it."""
        return await self._hub.encoded(snapshot, "packet", snapshot.packet)


class Viewer:
    """One open page."""

    def __init__(self, socket: WebSocket, slot: Slot, page: LivePage) -> None:
        self._socket, self._slot, self._page = socket, slot, page
        self._room = asyncio.Semaphore(_IN_FLIGHT)
        self._in_flight = 0
        self._watching = asyncio.Event()
        self._watching.set()

    async def run(self) -> None:
        """Until the first of its parts ends: the viewer left, or was cut off."""
        await self._send_json(self._page.hello())
        tasks = [asyncio.create_task(part()) for part in (self._listen, self._send_pictures, self._send_stats)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException) and not self._expected(error):
                raise error

    def _expected(self, error: BaseException) -> bool:
        """Whether a part ended because the viewer left, or the server stops."""
        if isinstance(error, RuntimeError):  # a part that sends when another one has just found the viewer gone
            return self._socket.application_state is WebSocketState.DISCONNECTED
        return isinstance(error, (WebSocketDisconnect, asyncio.CancelledError, EndedError))

    async def _listen(self) -> None:
        """``drawn`` makes room for a picture, ``pause`` and ``resume`` stop and start them, ``time N`` asks ours."""
        while True:
            try:
                word, _, rest = (await self._socket.receive_text()).partition(" ")
            except KeyError:  # bytes, which nobody who knows this page sends
                return
            if word == "drawn" and self._in_flight:
                self._in_flight -= 1
                self._room.release()
            elif word == "pause":
                self._watching.clear()
            elif word == "resume":
                self._watching.set()
            elif word == "time":
                await self._send_json({"type": "time", "yours": rest[:32], "server_ms": now_ns() / 1e6})

    async def _send_pictures(self) -> None:
        while True:
            await self._room.acquire()
            snapshot = await self._slot.take()
            if not self._watching.is_set():
                await self._watching.wait()
                snapshot = self._slot.newer(snapshot)
            packet = await self._page.packet(snapshot)
            self._in_flight += 1
            await self._socket.send_bytes(packet)

    async def _send_stats(self) -> None:
        seen = 0
        while True:
            message, seen = self._page.stats(seen)
            await self._send_json(message)
            await asyncio.sleep(_STATS_S)

    async def _send_json(self, message: dict[str, Any]) -> None:
        await self._socket.send_text(json.dumps(message, separators=(",", ":")))


def _labels(labels: LabelSet) -> list[dict[str, Any]]:
    names = zip(labels.classes, labels.palette, strict=True)
    return [{"name": name, "rgb": rgb, "group": labels.groups[name]} for name, rgb in names]
