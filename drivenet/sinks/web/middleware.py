"""What every request passes before a route sees it, and what every answer carries."""

from __future__ import annotations

import logging

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drivenet.sinks.web.access import HEADERS, Access
from drivenet.sinks.web.forwarded import Proxy
from drivenet.sinks.web.ration import Ration

_ASK = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>drivenet</title>
<h1>drivenet</h1>
<form action="./" method="get"><p><label>Token of this page:
<input name="token" type="password" autocomplete="current-password" autofocus required></label>
<button>Open</button></p></form></html>
"""
_LOG = logging.getLogger(__name__)
_OTHER_SITE = (
    "a %s of the page %.80s was refused (403), as Host is %.80s; behind a proxy, have it pass Host with its port "
    "(nginx: proxy_set_header Host $http_host), or name the page with --allowed-host NAME:PORT, or use --trusted-proxy"
)
_COOKIE_S = 7 * 24 * 3600
#: Wrong tokens that an address may show at once, and a second.
GUESSES, GUESSES_PER_S = 10, 1.0
_TOO_MANY_GUESSES = "too many wrong tokens from this address: wait two seconds\n"
_REFUSED_WITH_TOKEN = "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN\n"


class AccessMiddleware:
    """ASGI middleware: Host, Origin and token, then the application; security headers on all answers.

    Args:
        app: what is guarded.
        access: the rules.
        proxy: what stands between viewers and the page.
    """

    def __init__(self, app: ASGIApp, access: Access, proxy: Proxy | None = None) -> None:
        self._app, self._access, self._proxy = app, access, proxy or Proxy()
        self._guesses = Ration(GUESSES, GUESSES_PER_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope = self._proxy.seen_by_viewer(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cross-origin-resource-policy", "same-origin")
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer: ASGIApp = self._refusal(HTTPConnection(scope)) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that goes no further."""
        access, host = self._access, request.headers.get("host", "")
        query = request.scope["query_string"].decode("latin-1")
        if not access.host_allowed(host):
            _LOG.warning("a request for %.80r was refused (421); --allowed-host names further names of the page", host)
            return PlainTextResponse("this page is not known under that name: see --allowed-host\n", 421)
        origin = request.headers.get("origin")
        if not access.origin_allowed(origin, host):
            _LOG.warning(_OTHER_SITE, request.scope["type"], origin, host)
            return PlainTextResponse("not for pages of other sites\n", 403)
        if (refusal := self._token_refusal(request, query)) is not None:
            return refusal
        if _is_page(request) and access.token_in_query(query):
            return self._without_token(request)
        return None

    def _token_refusal(self, request: HTTPConnection, query: str) -> Response | None:
        """The answer to a request without the token; after some wrong ones the next of that address is not looked at.

        If it were, a right one would still be told apart, and guessing would be as quick as before.
        """
        access, address = self._access, request.client.host if request.client else ""
        is_guess = access.has_guess(request.headers, query)
        if is_guess and not self._guesses.has(address):
            is_known = access.token_shown({}, request.cookies, "")
            return None if is_known else PlainTextResponse(_TOO_MANY_GUESSES, 429, {"retry-after": "2"})
        if access.token_shown(request.headers, request.cookies, query):
            return None
        if is_guess:
            self._guesses.spend(address)
        return self._ask(request)

    def _ask(self, request: HTTPConnection) -> Response:
        headers = {"www-authenticate": 'Bearer realm="drivenet"'}
        if request.scope["type"] == "http" and _is_page(request):
            return HTMLResponse(_ASK, 401, headers)
        return PlainTextResponse(_REFUSED_WITH_TOKEN, 401, headers)

    def _without_token(self, request: HTTPConnection) -> Response:
        """To the page itself, so that the token stays in neither the address bar nor the history."""
        response = RedirectResponse("./", 303)  # which holds under any path of a proxy
        response.set_cookie(
            self._access.cookie, self._access.pass_, max_age=_COOKIE_S, path=self._proxy.home, httponly=True,
            samesite="strict", secure=request.url.scheme in ("https", "wss"),
        )  # fmt: skip
        return response


def _is_page(request: HTTPConnection) -> bool:
    """Whether a browser asks for what people see: the page, or that of one of several sources."""
    return request.url.path.endswith("/")
