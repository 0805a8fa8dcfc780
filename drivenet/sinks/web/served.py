"""What every live page has, for one source or several: an address, who may look, and a server."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from drivenet.errors import UsageError
from drivenet.sinks.web.access import Access, check_binding
from drivenet.sinks.web.hub import HubGroup

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from drivenet.sinks.web.forwarded import Proxy
    from drivenet.sinks.web.server import Server

_NEEDED = ("starlette", "uvicorn", "websockets", "prometheus_client")


class Served:
    """An app at an address.

    Args:
        build: makes the app, from who may look and the proxy before it.
        hubs: where its viewers find results.
        host: the address to bind: a loopback one unless there is a token.
        port: 0 takes a free one, see :attr:`url`.
        token: what viewers must show; None = nothing.
        allow_anonymous: others may look without a token.
        allowed_hosts: further names under which the page is reached, such as a proxy's.
        root_path: under which a proxy serves the page.
        trusted_proxies: addresses and networks whose ``X-Forwarded-*`` headers are trusted.

    Raises:
        UsageError: for a binding or a name that is not allowed, or if the extra ``[web]`` is not installed.
        SinkError: if the address is taken or is none of this machine.
    """

    def __init__(
        self, build: Callable[[Access, Proxy], ASGIApp], hubs: HubGroup, host: str, port: int, *, token: str | None,
        allow_anonymous: bool, allowed_hosts: Sequence[str], root_path: str, trusted_proxies: Sequence[str],
    ) -> None:  # fmt: skip
        check_binding(host, token, allow_anonymous, allowed_hosts)
        proxy = proxy_of(root_path, trusted_proxies)
        from drivenet.sinks.web.server import Server, listen

        listener = listen(host, port)
        self.host, self.port = host, int(listener.getsockname()[1])
        self.server: Server = Server(build(Access(host, self.port, token, allowed_hosts), proxy), hubs, listener)

    @property
    def url(self) -> str:
        """Where the page is as its own machine reaches it, without the token."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


def proxy_of(root_path: str, trusted_proxies: Sequence[str]) -> Proxy:
    """What stands before a page; UsageError for what is none, or if the extra ``[web]`` is not installed."""
    _check_installed()
    from drivenet.sinks.web.forwarded import Proxy

    return Proxy(root_path, trusted_proxies)


def _check_installed() -> None:
    """UsageError if the extra is not there."""
    for module in _NEEDED:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"the live page without {error.name}", "the extra [web]", 'pip install "drivenet[web]"'
            ) from error
