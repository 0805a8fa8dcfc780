"""Many viewers: newest frame first, each at its own pace, a bounded number, and no work for nobody."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import zlib
from contextlib import ExitStack
from typing import Any, cast
from unittest.mock import AsyncMock

import cv2
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from starlette.websockets import WebSocket
from web_node import MAP, PATIENCE_S, SIZE, Node, wait_for
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from drivenet.labels import CAMVID
from drivenet.overlay import Painter
from drivenet.sinks.web import run_stats, server, snapshot
from drivenet.sinks.web.hub import Hub, Slot
from drivenet.sinks.web.websocket import LivePage, Viewer


def picture(viewer: ClientConnection) -> dict[str, Any]:
    """The next picture, without saying that it was drawn."""
    while True:
        data = viewer.recv(timeout=10)
        if isinstance(data, bytes):
            (length,) = struct.unpack_from("<I", data)
            head: dict[str, Any] = json.loads(data[4 : 4 + length])
            split = 4 + length + head["jpeg"]
            return {**head, "image": data[4 + length : split], "ids": data[split:]}


def figures(viewer: ClientConnection) -> dict[str, Any]:
    while True:
        data = viewer.recv(timeout=10)
        if isinstance(data, str) and (message := json.loads(data))["type"] == "stats":
            return dict(message)


def drain(viewer: ClientConnection) -> None:
    while True:
        viewer.recv(timeout=10)


def test_picture_ids_and_scene_arrive_together(node: Node) -> None:
    result = node.publish()
    with connect(node.ws) as viewer:
        hello = json.loads(viewer.recv())
        assert [label["name"] for label in hello["labels"]] == list(result.labels.classes)
        snapshot = picture(viewer)
    image = cv2.imdecode(np.frombuffer(snapshot["image"], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (*SIZE, 3)
    ids, things = np.frombuffer(zlib.decompress(snapshot["ids"]), np.uint8).reshape(2, *MAP)
    assert np.array_equal(ids, result.classmap.ids)
    assert np.array_equal(things, result.scene.instances)
    assert snapshot["map"] == list(MAP)
    assert snapshot["classes"] == result.scene.to_dict()["classes"]
    assert snapshot["captured_ms"] == pytest.approx(result.frame.captured_ns / 1e6, abs=0.001)


def test_figures_bring_every_frames_stages_once(node: Node) -> None:
    node.publish(5)
    with connect(node.ws) as viewer:
        first = figures(viewer)
        node.publish(3)
        later = figures(viewer)
    assert first["samples"][0][1:] == [1, 2, 3, 4, 0, 1]
    assert [len(first["samples"]), len(later["samples"])] == [5, 3]


def test_a_viewer_stays_longer_than_a_request_may_take(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_S", 0.2)
    with connect(node.ws) as viewer:
        for _ in range(3):  # they come twice a second
            figures(viewer)


def test_the_server_tells_its_clock(node: Node) -> None:
    result = node.publish()
    with connect(node.ws) as viewer:
        viewer.send("time 123.5")
        while (answer := viewer.recv(timeout=10)) and '"time"' not in str(answer)[:20]:
            pass
    clock = json.loads(answer)
    assert clock["yours"] == "123.5"
    assert 0 <= clock["server_ms"] - result.frame.captured_ns / 1e6 < 10_000


def test_a_viewer_gets_no_more_than_it_draws_and_then_the_newest(node: Node) -> None:
    with connect(node.ws) as viewer:
        wait_for(lambda: node.sink.viewers == 1)
        node.publish()
        assert picture(viewer)["frame"] == 0
        node.publish()
        assert picture(viewer)["frame"] == 1
        node.publish(20)  # two are under way: these wait in the slot, where each replaces the one before
        viewer.send("drawn")
        assert picture(viewer)["frame"] == 21


def test_pause_stops_pictures_but_not_figures(node: Node) -> None:
    with connect(node.ws) as viewer:
        viewer.send("pause")
        viewer.send("time 1")
        while '"time"' not in str(viewer.recv(timeout=10))[:20]:
            pass
        node.publish(3)
        while (said := viewer.recv(timeout=10)) and '"captured":3' not in str(said):
            assert isinstance(said, str)
        node.publish()
        viewer.send("resume")
        assert picture(viewer)["frame"] == 3


def test_nothing_is_encoded_while_nobody_watches_and_once_for_all(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    encode = snapshot.encode_jpeg
    monkeypatch.setattr(snapshot, "encode_jpeg", lambda *how: done.append(1) or encode(*how))
    node.publish(10)
    assert node.get("/stats.json")[0] == 200
    assert done == []
    with ExitStack() as stack:
        viewers = [stack.enter_context(connect(node.ws)) for _ in range(5)]
        assert {picture(v)["frame"] for v in viewers} == {9}
    assert len(done) == 1


def test_a_viewer_that_talks_nonsense_is_sent_home_quietly(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    with connect(node.ws) as viewer:
        for word in ("drawn", "drawn 1", "time", "", "reboot now"):
            viewer.send(word)
        viewer.send(b"bytes")
        with pytest.raises(ConnectionClosed):
            drain(viewer)
    with connect(node.ws) as viewer:
        viewer.send("x" * 5000)
        with pytest.raises(ConnectionClosed):
            drain(viewer)
    wait_for(lambda: node.sink.viewers == 0)
    assert caplog.text == ""


@pytest.mark.parametrize("closes", [False, True])
def test_a_viewer_whose_text_is_no_utf8_is_sent_home_quietly(
    node: Node, caplog: pytest.LogCaptureFixture, closes: bool
) -> None:
    said = [Frame(Opcode.TEXT, b"drawn \xc3", fin=False), Frame(Opcode.CONT, b"(")]
    if closes:
        said.append(Frame(Opcode.CLOSE, Close(1000, "").serialize()))
    with connect(node.ws) as viewer:
        viewer.recv()
        viewer.socket.sendall(b"".join(frame.serialize(mask=True) for frame in said))
        with pytest.raises(ConnectionClosed) as caught:
            drain(viewer)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == (1000 if closes else 1007)
    wait_for(lambda: node.sink.viewers == 0)
    assert caplog.text == ""


def test_an_error_of_our_own_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(LivePage, "serve", AsyncMock())
    with Node() as node, pytest.raises(InvalidStatus), connect(node.ws):
        pass
    assert "without completing handshake" in caplog.text


def test_a_viewer_found_gone_by_two_parts_at_once_leaves_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LivePage, "packet", AsyncMock(return_value=b"picture"))
    monkeypatch.setattr(LivePage, "stats", lambda page, seen: ({}, seen))
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        if sent:
            await asyncio.sleep(60)
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if len(sent) > 2:  # accepted and greeted
            raise OSError

    async def visit() -> None:
        stats = run_stats.RunStats("drive", {})
        socket, slot = WebSocket({"type": "websocket"}, receive, send), Slot()
        slot.put(cast(Any, "snapshot"))
        await socket.accept()
        await Viewer(socket, slot, LivePage(Hub(), stats, Painter(CAMVID))).run()

    asyncio.run(visit())
    assert len(sent) == 3


def test_one_viewer_more_gets_503_until_a_place_is_free(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.sink._hub.max_viewers = 3
    node.publish()
    with ExitStack() as stack:
        viewers = [stack.enter_context(connect(node.ws)) for _ in range(3)]
        for viewer in viewers:
            picture(viewer)
        with pytest.raises(InvalidStatus) as caught, connect(node.ws):
            pass
        assert caught.value.response.status_code == 503
        assert node.get("/stream.mjpg")[0] == 503
        assert node.get("/overlay.jpg")[0] == 200
        viewers[0].close()
        wait_for(lambda: node.sink.viewers == 2)
        picture(stack.enter_context(connect(node.ws)))
    assert caplog.text == ""


def test_two_hundred_at_once(node: Node) -> None:
    """Some watch, the others are told 503, and the node goes on."""
    node.play(30)
    request = b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=10)) for _ in range(200)
        ]
        for one in crowd:
            one.sendall(request)
        answers = [one.recv(12) for one in crowd]
        assert answers.count(b"HTTP/1.1 200") == node.sink.viewers == node.sink._hub.max_viewers == 32
        assert answers.count(b"HTTP/1.1 503") == 168
        before = node.index
        wait_for(lambda: node.index > before + 10)
    wait_for(lambda: node.sink.viewers == 0)
    assert node.get("/readyz")[0] == 200


def test_a_viewer_that_reads_a_byte_now_and_then_delays_nobody(node: Node) -> None:
    with connect(node.ws) as good, socket.create_connection(("127.0.0.1", node.port), timeout=10) as slow:
        slow.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_for(lambda: node.sink.viewers == 2)
        for index in range(150):  # more than all buffers hold
            node.publish()
            if index % 50 == 0:
                assert len(slow.recv(1)) == 1
            assert picture(good)["frame"] == index
            good.send("drawn")


def test_close_waits_for_no_viewer_that_reads_nothing(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", node.port))
        stuck.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        node.play(100)
        connections = node.sink._served.server._uvicorn.server_state.connections
        wait_for(lambda: any(getattr(c, "stalled", False) for c in list(connections)))
        node.close()
    assert caplog.text == ""


@pytest.mark.parametrize("path", ["/stream.mjpg", "/overlay.jpg"])
def test_close_waits_for_no_picture_that_is_still_encoded(
    node: Node, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """As on a machine that is short of processors."""
    entered, go_on = threading.Event(), threading.Event()

    def slowly(*_: object) -> bytes:
        entered.set()
        go_on.wait(PATIENCE_S)
        return b""

    monkeypatch.setattr(snapshot.Snapshot, "overlay_jpeg", slowly)
    try:
        with socket.create_connection(("127.0.0.1", node.port), timeout=10) as stream:
            node.publish()
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert entered.wait(PATIENCE_S)
            node.close()
            assert not go_on.is_set()
    finally:
        go_on.set()
    assert caplog.text == ""
    assert "drivenet-web" not in {t.name for t in threading.enumerate()}


def test_close_ends_viewers_thread_and_port(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.publish()
    with connect(node.ws) as viewer, socket.create_connection(("127.0.0.1", node.port), timeout=10) as stream:
        picture(viewer)
        stream.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_for(lambda: node.sink.viewers == 2)
        node.close()
        with pytest.raises(ConnectionClosed):
            drain(viewer)
    assert caplog.text == ""
    assert "drivenet-web" not in {t.name for t in threading.enumerate()}
    with Node(port=node.port) as again:
        assert again.get("/healthz")[0] == 200
