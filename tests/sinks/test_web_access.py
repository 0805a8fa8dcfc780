"""Who may look: bindings, tokens, Host and Origin on every route; headers on every answer; slow strangers."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from web_node import Node, wait_for
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from drivenet.errors import SinkError, UsageError
from drivenet.sinks.web import server
from drivenet.sinks.web.access import Access, check_binding
from drivenet.sinks.web.server import listen

TOKEN = "correct-horse-battery"
ROUTES = [
    *("/", "/main.js", "/style.css", "/vendor/uPlot.iife.min.js", "/stream.mjpg", "/frame.jpg", "/overlay.jpg"),
    *("/mask.png", "/stats.json", "/metrics", "/healthz", "/readyz", "/no-such-thing"),
]


@pytest.fixture(scope="module")
def open_node() -> Iterator[Node]:
    with Node() as node:
        node.publish()
        yield node


@pytest.fixture(scope="module")
def closed_node() -> Iterator[Node]:
    """A node with a token, for one stranger who asks for all of this module's tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drivenet.sinks.web.middleware.GUESSES", 10_000)
        patch.setattr("drivenet.sinks.web.crowd.HANDSHAKES", 10_000)
        node = Node(token=TOKEN)
    with node:
        node.publish()
        yield node


@pytest.mark.parametrize(
    ("host", "token", "anonymous"),
    [("127.0.0.1", None, False), ("::1", None, False), ("localhost", TOKEN, False), ("0.0.0.0", TOKEN, False),
     ("0.0.0.0", None, True)],
)  # fmt: skip
def test_bindings_that_are_allowed(host: str, token: str | None, anonymous: bool) -> None:
    check_binding(host, token, anonymous)


@pytest.mark.parametrize(
    ("host", "token", "anonymous", "says"),
    [("0.0.0.0", None, False, "--allow-anonymous"), ("::", None, False, "--token"),
     ("10.1.2.3", None, False, "--token"),
     ("camera.lan", None, False, "--token"), ("0.0.0.0", "", False, "12 characters"),
     ("127.0.0.1", "pass123", False, "12 characters"), ("0.0.0.0", "with spaces in it", False, "without spaces"),
     ("0.0.0.0", TOKEN, True, "one of them")],
)  # fmt: skip
def test_bindings_that_are_refused(host: str, token: str | None, anonymous: bool, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        check_binding(host, token, anonymous)
    assert not token or token not in str(caught.value)


def test_hosts_of_a_page_on_loopback() -> None:
    access = Access("127.0.0.1", 80, None, ["node.example"])
    for good in ("127.0.0.1:80", "localhost", "LOCALHOST:9", "[::1]:80", "node.example"):
        assert access.host_allowed(good), good
    for bad in ("", "evil.example", "127.0.0.1.evil.example", "10.0.0.9", "[::1", "localhost@evil.example:x"):
        assert not access.host_allowed(bad), bad


@pytest.mark.parametrize(
    ("allowed", "header"),
    [("cam.local:18085", "cam.local:18085"), ("cam.local:18085", "cam.local"), ("CAM_1.local:1", "cam_1.local:80"),
     ("10.0.0.9:80", "10.0.0.9"), ("fe80::a", "[FE80::A]:80"), ("[FE80::A]:80", "[fe80::a]")],
)  # fmt: skip
def test_an_allowed_host_matches_as_it_is_written(allowed: str, header: str) -> None:
    with Node(allowed_hosts=[allowed]) as node:
        assert node.get("/healthz", {"Host": header})[0] == 200
        assert node.get("/healthz", {"Host": "evil.example"})[0] == 421


@pytest.mark.parametrize(
    "text",
    ["", "http://proxy.example/", "proxy.example/", "me@proxy.example", "*.example", "cam local", "k\u00e4se.example",
     ":80", "cam:80:80", "[1:2]:80", "cam.local\n"],
)  # fmt: skip
def test_an_allowed_host_that_no_request_can_name_is_refused(text: str) -> None:
    says = f"--allowed-host {text!r}; expected a host such as cam.local"
    with pytest.raises(UsageError, match=f"^{re.escape(says)}"):
        Node(allowed_hosts=["proxy.example", text])


def test_hosts_of_a_page_that_others_reach() -> None:
    access = Access("0.0.0.0", 80, TOKEN)
    assert access.host_allowed("192.168.1.20:8080")
    assert access.host_allowed(socket.gethostname())
    assert not access.host_allowed("evil.example")


def test_a_name_that_no_host_can_have_is_one_line() -> None:
    with pytest.raises(SinkError, match=r"cannot serve on a\.\.b:8080: .*label.*; name a free port") as caught:
        server.listen("a..b", 8080)
    assert "\n" not in str(caught.value)


def test_a_taken_port_is_one_line(open_node: Node) -> None:
    with pytest.raises(SinkError, match=f"cannot serve on 127.0.0.1:{open_node.port}"):
        Node(port=open_node.port)


def test_an_address_of_ipv6_is_named_as_it_is_written(closed_node: Node) -> None:
    with pytest.raises(SinkError, match=rf"^cannot serve on \[::ffff:127\.0\.0\.1\]:{closed_node.port}: "):
        listen("::ffff:127.0.0.1", closed_node.port)


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_asks_for_the_token(closed_node: Node, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"drivenet_{closed_node.port}={TOKEN}"}):
        status, answer, body = closed_node.get(path, headers)
        assert status == 401, path
        assert "Bearer" in answer["WWW-Authenticate"]
        assert TOKEN.encode() not in body
    assert closed_node.get(f"{path}?token=wrong")[0] == 401


def test_the_token_opens(closed_node: Node) -> None:
    assert closed_node.get("/stats.json", {"Authorization": f"Bearer {TOKEN}"})[0] == 200
    assert closed_node.get(f"/overlay.jpg?token={TOKEN}")[0] == 200  # a camera image has to be new


def test_the_token_becomes_a_cookie_and_leaves_the_address(closed_node: Node) -> None:
    status, headers, _ = closed_node.get(f"/?token={TOKEN}")
    assert (status, headers["Location"]) == (303, "./")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    shown = {"Cookie": cookie.partition(";")[0]}
    assert closed_node.get("/", shown)[0] == 200
    with connect(closed_node.ws, additional_headers=shown) as viewer:
        assert '"hello"' in str(viewer.recv())


def test_the_socket_asks_for_the_token(closed_node: Node) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(closed_node.ws):
        pass
    assert caught.value.response.status_code == 401


@pytest.mark.parametrize("path", ROUTES)
def test_pages_of_other_sites_and_rebound_names_are_refused(open_node: Node, path: str) -> None:
    assert open_node.get(path, {"Origin": "https://evil.example"})[0] == 403
    for origin in ("null", "http://[", "http://127.0.0.1.evil.example", ""):
        assert open_node.get(path, {"Origin": origin})[0] == 403
    assert open_node.get(path, {"Host": f"evil.example:{open_node.port}"})[0] == 421


def test_the_socket_refuses_other_sites_and_names(open_node: Node) -> None:
    for headers, status in (({"Origin": "http://evil.example"}, 403), ({"Origin": "http://localhost:1"}, 403)):
        with pytest.raises(InvalidStatus) as caught, connect(open_node.ws, additional_headers=headers):
            pass
        assert caught.value.response.status_code == status
    own = {"Origin": f"http://127.0.0.1:{open_node.port}"}
    with connect(open_node.ws, additional_headers=own) as viewer:
        assert '"hello"' in str(viewer.recv())


@pytest.mark.parametrize("path", [r for r in ROUTES if r != "/stream.mjpg"])
def test_every_answer_carries_the_headers(open_node: Node, path: str) -> None:
    _, headers, _ = open_node.get(path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Server"] is None


def test_the_page_has_no_inline_script_or_style(open_node: Node) -> None:
    page = open_node.get("/")[2].decode()
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|<style|\sstyle=|https?://", page)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(open_node: Node, method: str) -> None:
    for path in ("/", "/stats.json", "/live", "/frame.jpg"):
        assert open_node.get(path, method=method)[0] in (404, 405)


@pytest.mark.parametrize("path", ["/../setup.py", "/vendor/../../app.py", "/%2e%2e/app.py", "//etc/passwd", "/static/"])
def test_no_request_names_a_file(open_node: Node, path: str) -> None:
    assert open_node.get(path)[0] == 404


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP/1.1\r\nHost: 127", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nx"],
)
def test_a_request_that_does_not_come_is_cut(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(server, "HEADER_S", 0.2)
    with Node() as node, socket.create_connection(("127.0.0.1", node.port), timeout=10) as stranger:
        stranger.sendall(said)
        with suppress(ConnectionResetError):  # how a cut connection ends, unless it was answered before
            while stranger.recv(4096):
                pass


HANDSHAKE = (
    "Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
UNREADABLE = [
    f"GET /live HTTP/1.1\r\nX: {'a' * 9000}\r\n{HANDSHAKE}\r\n",
    "GET /live HTTP/1.1\r\n" + "X: a\r\n" * 130 + f"{HANDSHAKE}\r\n",
    f"GET /live?{'a' * 9000} HTTP/1.1\r\n{HANDSHAKE}\r\n",
    f"GET /live HTTP/1.1\r\n{HANDSHAKE}Content-Length: 5\r\n\r\n",
    f"GET /live HTTP/1.1\r\n{HANDSHAKE}Content-Length: 5\r\n\r\nhello",
    f"GET /live HTTP/1.1\r\n{HANDSHAKE}Transfer-Encoding: chunked\r\n\r\n",
    f"GET /live HTTP/1.1\r\n{HANDSHAKE}Sec-WebSocket-Protocol: \u00ff\r\n\r\n",
    "GET /live HTTP/1.1\r\n{}\r\n".format(HANDSHAKE.replace("Connection: Upgrade", "Connection: Upgrade, \u00ff")),
    "GET /live HTTP/1.1\r\n{}\r\n".format(re.sub("(?<=Key: ).*(?=\r)", "\u00e9", HANDSHAKE)),
]


def answered(node: Node, said: str) -> list[int]:
    """The statuses that come before the connection is closed."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as stranger:
        stranger.sendall(said.encode())
        answers = b""
        with suppress(ConnectionResetError):
            while heard := stranger.recv(4096):
                answers += heard
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answers)]


@pytest.mark.parametrize(
    "said", UNREADABLE, ids=["header", "headers", "url", "body", "sent", "chunked", "protocol", "connection", "key"]
)
def test_a_handshake_that_cannot_be_read_is_answered_and_closed(closed_node: Node, said: str) -> None:
    assert answered(closed_node, said) == [400]
    assert answered(closed_node, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + said) == [401, 400]


def test_strangers_handshakes_lock_nobody_out(closed_node: Node) -> None:
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", closed_node.port), timeout=10))
            for _ in range(server.MAX_CONNECTIONS + 2)
        ]
        for stranger in crowd:
            stranger.sendall(UNREADABLE[0].encode())
        assert {stranger.recv(12) for stranger in crowd} <= {b"HTTP/1.1 400", b"HTTP/1.1 503"}
        assert closed_node.get("/stats.json", {"Authorization": f"Bearer {TOKEN}"})[0] == 200


@pytest.mark.parametrize(
    ("said", "status"),
    [(f"GET /live HTTP/1.1\r\n{HANDSHAKE}", 401), (f"GET / HTTP/1.1\r\n{HANDSHAKE}", 401),
     (f"GET /?token={TOKEN} HTTP/1.1\r\n{HANDSHAKE}", 303),
     (f"GET /live HTTP/1.1\r\n{HANDSHAKE.replace('127.0.0.1', 'evil.example')}", 421),
     (f"GET /live HTTP/1.1\r\n{HANDSHAKE}Origin: http://evil.example\r\n", 403)],
)  # fmt: skip
def test_a_refused_handshake_writes_one_line_of_ours_into_the_log_at_most(
    closed_node: Node, caplog: pytest.LogCaptureFixture, said: str, status: int
) -> None:
    assert answered(closed_node, f"{said}\r\n") == [status]
    assert [f"({status})" in record.getMessage() for record in caplog.records] == [True] * (status in (403, 421))


@pytest.mark.parametrize("path", ["/", f"/?token={TOKEN}"])
def test_a_body_that_is_no_http_writes_nothing_into_the_log(
    closed_node: Node, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert answered(closed_node, f"{head}no length\r\n") == [400]
    with socket.create_connection(("127.0.0.1", closed_node.port), timeout=10) as stranger:
        stranger.sendall(head.encode())
        assert stranger.recv(12) in (b"HTTP/1.1 401", b"HTTP/1.1 303")
        stranger.sendall(b"no length\r\n")
        with suppress(ConnectionResetError):
            while stranger.recv(4096):
                pass
    assert caplog.text == ""


def test_a_viewer_that_reads_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALL_S", 0.3)
    with Node() as node, socket.create_connection(("127.0.0.1", node.port)) as stranger:
        node.play(50)
        stranger.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_for(lambda: node.sink.viewers == 1)
        wait_for(lambda: node.sink.viewers == 0)


def test_garbage_is_answered_and_harms_nobody(open_node: Node) -> None:
    for said in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9\r\n\r\n", b"A" * 40_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", open_node.port), timeout=10) as stranger:
            stranger.sendall(said)
            assert b" 400 " in stranger.recv(4096)
    assert open_node.get("/healthz")[0] in (200, 503)
