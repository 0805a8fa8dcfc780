"""The page behind a reverse proxy: under a path, with another port, and what is believed of whom."""

from __future__ import annotations

import base64
import http.client
import logging
import os
from urllib.parse import urljoin

import pytest
from web_node import Node

from drivenet.errors import UsageError
from drivenet.sinks.web.forwarded import Proxy, check_root_path

TOKEN = "abcdefghijkl1234"


def upgrade(node: Node, path: str, **headers: str) -> int:
    """The status of the answer to a WebSocket's handshake."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    key = base64.b64encode(os.urandom(16)).decode()
    shake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"}
    connection.request("GET", path, headers={**shake, **named})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("prefix", ["", "/cars/front"])
def test_the_page_under_a_path_with_the_path_stripped_or_not(prefix: str) -> None:
    with Node(token=TOKEN, root_path="/cars/front/") as node:
        status, headers, _ = node.get(f"{prefix}/?token={TOKEN}")
        assert (status, headers["location"]) == (303, "./")
        cookie = headers["set-cookie"]
        assert "Path=/cars/front/" in cookie
        assert "Secure" not in cookie
        status, _, body = node.get(f"{prefix}/", {"Cookie": cookie.split(";")[0]})
        assert status == 200
        assert node.get(f"{prefix}/style.css", {"Cookie": cookie.split(";")[0]})[0] == 200
        status, _, body = node.get(f"{prefix}/")
        assert status == 401
        assert b'action="./"' in body


@pytest.mark.parametrize("prefix", ["", "/cars/front"])
@pytest.mark.parametrize(("path", "method"), [("/healthz", "GET"), ("/style.css", "GET"), ("/lock", "POST")])
def test_a_slash_at_the_end_leads_back_under_any_path(prefix: str, path: str, method: str) -> None:
    """It led to the path as the proxy had stripped it, at the host and scheme that the node was asked by."""
    with Node(allow_anonymous=True, root_path="/cars/front/") as node:
        status, headers, _ = node.get(f"{prefix}{path}/?a=1", method=method)
        assert status == 307
        for seen in (f"https://cars.example/cars/front{path}/", f"http://10.0.0.1:8080{path}/"):
            assert urljoin(seen, headers["location"]) == seen.rstrip("/") + "?a=1"
        assert node.get(f"{prefix}/nothing/")[0] == 404


def test_without_a_root_path_the_token_leads_back_to_where_it_was_given() -> None:
    with Node(token=TOKEN) as node:
        assert node.get(f"/?token={TOKEN}")[1]["location"] == "./"


@pytest.mark.parametrize("text", ["cars", "/a b", "/a/../b?", "//x", "/ü"])
def test_a_root_path_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="--root-path"):
        check_root_path(text)


def test_a_websocket_whose_host_lost_its_port_is_refused_and_logged_with_the_cure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Node(allowed_hosts=["cam.example"]) as node, caplog.at_level(logging.WARNING):
        assert upgrade(node, "/live", Host="cam.example:8443", Origin="https://cam.example:8443") == 101
        assert upgrade(node, "/live", Host="cam.example", Origin="https://cam.example:8443") == 403
    (line,) = [record.getMessage() for record in caplog.records if "403" in record.getMessage()]
    assert "websocket of the page https://cam.example:8443 was refused (403), as Host is cam.example" in line
    assert "$http_host" in line
    assert "--allowed-host" in line


def test_an_unknown_name_is_logged_with_the_cure(caplog: pytest.LogCaptureFixture) -> None:
    with Node() as node, caplog.at_level(logging.WARNING):
        assert node.get("/", {"Host": "cam.example"})[0] == 421
    assert "'cam.example' was refused (421); --allowed-host names" in caplog.text


def test_a_page_with_its_port_may_be_named() -> None:
    with Node(allowed_hosts=["cam.example:8443"]) as node:
        assert upgrade(node, "/live", Host="cam.example", Origin="https://cam.example:8443") == 101
        assert upgrade(node, "/live", Host="cam.example", Origin="https://cam.example:9999") == 403


@pytest.mark.parametrize(("trusted", "status"), [(["127.0.0.0/8"], 101), (["10.0.0.1"], 403), ([], 403)])
def test_what_a_proxy_says_is_believed_of_a_trusted_one_only(trusted: list[str], status: int) -> None:
    with Node(allowed_hosts=["cam.example"], trusted_proxies=trusted) as node:
        forwarded = {"X_Forwarded_Host": "cam.example:8443", "X_Forwarded_Proto": "https"}
        got = upgrade(node, "/live", Host="cam.example", Origin="https://cam.example:8443", **forwarded)
        assert got == status


def test_the_viewer_is_the_last_hop_that_is_no_proxy_of_ours() -> None:
    proxy = Proxy(trusted=["127.0.0.1", "10.0.0.0/8"])

    def viewer(client: str, chain: str) -> str:
        scope = {"type": "http", "path": "/", "scheme": "http", "client": (client, 1),
                 "headers": [(b"x-forwarded-for", chain.encode()), (b"x-forwarded-proto", b"https")]}  # fmt: skip
        seen = proxy.seen_by_viewer(scope)
        assert seen["scheme"] == ("https" if client != "192.0.2.9" else "http")
        return str(seen["client"][0])

    assert viewer("127.0.0.1", "203.0.113.5, 10.1.1.1") == "203.0.113.5"
    assert viewer("127.0.0.1", "1.2.3.4, 203.0.113.5") == "203.0.113.5", "what a viewer invents comes first"
    assert viewer("192.0.2.9", "203.0.113.5") == "192.0.2.9"


def test_a_trusted_proxy_that_is_no_address() -> None:
    with pytest.raises(UsageError, match="--trusted-proxy 'nginx'; expected an address or a network"):
        Node(trusted_proxies=["nginx"])


def test_a_page_over_https_gets_a_secure_cookie() -> None:
    with Node(token=TOKEN, trusted_proxies=["127.0.0.1"]) as node:
        _, headers, _ = node.get(f"/?token={TOKEN}", {"X-Forwarded-Proto": "https"})
        assert "Secure" in headers["set-cookie"]
