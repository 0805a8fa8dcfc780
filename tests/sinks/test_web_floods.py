"""Strangers in numbers: health is answered all the same, guesses of a token are slowed, handshakes are rationed."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import pytest

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from web_node import Node
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from drivenet.latency import now_ns
from drivenet.sinks.web.crowd import HANDSHAKES, HANDSHAKES_PER_S, MOST_CONNECTIONS
from drivenet.sinks.web.middleware import GUESSES
from drivenet.sinks.web.ration import Ration

TOKEN = "correct-horse-battery"


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as node:
        node.publish()
        node.play()
        yield node


@contextmanager
def silent(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections that never say a whole request."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]
        for number, each in enumerate(sockets):
            with suppress(OSError):
                each.sendall(b"GET / HT" if number % 2 else b"")
        yield sockets


@pytest.mark.parametrize("count", [50, 200, 300, MOST_CONNECTIONS + 100])
def test_health_is_answered_beside_silent_connections(node: Node, count: int) -> None:
    slowest = 0.0
    with silent(node.port, count):
        for _ in range(5):
            began = time.monotonic()
            assert node.get("/healthz")[0] == 200
            slowest = max(slowest, time.monotonic() - began)
    print(f"{count} silent connections: health within {slowest * 1000:.0f} ms")


def test_health_is_answered_while_requests_pour_in(node: Node) -> None:
    """300 connections, each asking for the page as quickly as it is answered: some get it, health all the time."""
    stop = threading.Event()

    def pour() -> None:
        connections = [http.client.HTTPConnection("127.0.0.1", node.port, timeout=10) for _ in range(75)]
        while not stop.is_set():
            for connection in connections:
                with suppress(OSError, http.client.HTTPException):
                    connection.request("GET", "/")
                    connection.getresponse().read()
        for connection in connections:
            connection.close()

    threads = [threading.Thread(target=pour, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert [node.get("/healthz")[0] for _ in range(20)] == [200] * 20
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_beyond_the_limit_all_but_health_is_503(node: Node) -> None:
    with silent(node.port, 200):
        answers = {path: node.get(path)[0] for path in ("/healthz", "/readyz", "/", "/frame.jpg", "/stats.json")}
    assert answers == {"/healthz": 200, "/readyz": 200, "/": 503, "/frame.jpg": 503, "/stats.json": 503}
    assert node.get("/stats.json")[0] == 200, "all is well again once they are gone"


def test_a_flood_of_handshakes_is_refused_and_viewers_come_back(node: Node) -> None:
    opened, began = 0, time.monotonic()
    for _ in range(3 * HANDSHAKES):
        with suppress(WebSocketException, OSError), connect(node.ws, open_timeout=10):
            opened += 1
    seconds = time.monotonic() - began
    assert HANDSHAKES <= opened <= HANDSHAKES + HANDSHAKES_PER_S * seconds + 1, "those beyond the ration are refused"
    time.sleep(0.5)
    with connect(node.ws, open_timeout=10) as viewer:
        assert '"hello"' in str(viewer.recv(10))


def test_token_guesses_are_slowed_and_the_right_one_is_no_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be told apart as quickly as before. A browser that was let in before stays in."""
    now = now_ns()  # of the ration: however long the requests take, no second passes between them
    monkeypatch.setattr("drivenet.sinks.web.middleware.Ration", partial(Ration, clock_ns=lambda: now))
    with Node(token=TOKEN) as node:
        node.publish()
        (cookie,) = [v for k, v in node.get(f"/?token={TOKEN}")[1].items() if k.lower() == "set-cookie"]
        answers = [node.get("/stats.json", {"Authorization": f"Bearer guess-{n}"})[0] for n in range(5 * GUESSES)]
        assert answers == [401] * GUESSES + [429] * 4 * GUESSES
        status, headers, _ = node.get(f"/stats.json?token={TOKEN}")
        assert (status, headers["Retry-After"]) == (429, "2")
        assert node.get("/stats.json", {"Cookie": cookie.partition(";")[0]})[0] == 200
        assert node.get("/stats.json")[0] == 401, "a page that asks without a token is no guess"
        now += 1_500_000_000
        assert node.get(f"/stats.json?token={TOKEN}")[0] == 200


def test_a_ration_is_for_an_address_and_a_bigger_one_for_all() -> None:
    now = 0
    ration = Ration(burst=3, per_s=1.0, crowd=2.0, clock_ns=lambda: now)
    assert [ration.take("10.0.0.1") for _ in range(4)] == [True, True, True, False]
    assert [ration.take(f"10.0.1.{n}") for n in range(4)] == [True, True, True, False]
    now = 1_000_000_000
    assert [ration.take("10.0.0.1") for _ in range(2)] == [True, False]
    assert ration.take("2001:db8::1")
    now = 60_000_000_000
    assert [ration.take(f"2001:db8::{n}") for n in range(4)] == [True, True, True, False], "one network is one stranger"


def test_a_ration_remembers_a_bounded_number_of_addresses() -> None:
    ration = Ration(burst=1, per_s=0.0, crowd=1e9)
    for n in range(5_000):
        assert ration.take(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    assert len(ration._left) <= 1024


def test_the_recording_is_locked_by_a_post_of_our_own() -> None:
    locked: list[int] = []
    with Node(token=TOKEN) as node:
        node.sink.lock_with(lambda: locked.append(1))
        node.publish()
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert node.get("/lock", bearer, "POST")[0] == 204
        assert node.get("/lock", bearer)[0] == 405
        assert node.get("/lock", {}, "POST")[0] == 401
        assert node.get("/lock", {**bearer, "Origin": "http://evil.example"}, "POST")[0] == 403
    assert locked == [1]


def test_without_segments_there_is_nothing_to_lock(node: Node) -> None:
    assert node.get("/lock", {}, "POST")[0] == 404
