"""Behind a reverse proxy: the path that it serves the page under, and what it says of a request, if it is believed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import MutableMapping, Sequence
from typing import Any

from starlette.datastructures import Headers

from drivenet.errors import UsageError

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_root_path(text: str) -> str:
    """A path without a slash at its end, empty for the root; UsageError for what is none.

    >>> check_root_path("/cars/front/")
    '/cars/front'
    """
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise UsageError(f"--root-path {text!r}", "a path such as /cars/front")
    return path


class Proxy:
    """What stands between viewers and the page. Knows no framework but the scope of ASGI.

    Args:
        root_path: under which it serves the page; requests may come with it or without.
        trusted: addresses and networks whose ``X-Forwarded-*`` headers are believed; nobody else's are.

    Raises:
        UsageError: for a path or an address that is none.
    """

    def __init__(self, root_path: str = "", trusted: Sequence[str] = ()) -> None:
        self.root_path = check_root_path(root_path)
        self._trusted = [_network(text) for text in trusted]

    @property
    def home(self) -> str:
        """The path of the page itself, as viewers see it."""
        return f"{self.root_path}/"

    def seen_by_viewer(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The scope with the path below :attr:`root_path`, and viewer, host and scheme as a trusted proxy says."""
        seen = dict(scope)
        path = str(scope["path"])
        if self.root_path and (path == self.root_path or path.startswith(self.home)):
            seen["path"] = path[len(self.root_path) :] or "/"
            seen["raw_path"] = seen["path"].encode()
        client = scope.get("client")
        if client and self._trusts(client[0]):
            self._believe(seen, Headers(scope=scope))
        return seen

    def _believe(self, seen: dict[str, Any], headers: Headers) -> None:
        if host := _last(headers.get("x-forwarded-host", "")):
            rest = [(name, value) for name, value in seen["headers"] if name != b"host"]
            seen["headers"] = [*rest, (b"host", host.encode("latin-1"))]
        if (scheme := _last(headers.get("x-forwarded-proto", ""))) in ("http", "https"):
            secure = scheme == "https"
            seen["scheme"] = scheme if seen["type"] == "http" else "wss" if secure else "ws"
        # each proxy appends who asked it: the last one that is no proxy of ours is the viewer
        hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
        viewer = next((hop for hop in reversed(hops) if not self._trusts(hop)), "")
        if viewer:
            seen["client"] = (viewer, 0)

    def _trusts(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._trusted)


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UsageError(f"--trusted-proxy {text!r}", "an address or a network such as 10.0.0.0/8") from None


def _last(values: str) -> str:
    """The last of several values: the one that the nearest proxy wrote."""
    return values.rpartition(",")[2].strip()
