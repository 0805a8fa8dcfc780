"""What every request passes before a route sees it, and what every answer carries."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drivenet.sinks.web.access import HEADERS, Access
from drivenet.sinks.web.ration import Ration

_ASK = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>drivenet</title>
<h1>drivenet</h1>
<form action="/" method="get"><p><label>Token of this page:
<input name="token" type="password" autocomplete="current-password" autofocus required></label>
<button>Open</button></p></form></html>
"""
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
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access
        self._guesses = Ration(GUESSES, GUESSES_PER_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

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
            return PlainTextResponse("this page is not known under that name: see --allowed-host\n", 421)
        if not access.origin_allowed(request.headers.get("origin"), host):
            return PlainTextResponse("not for pages of other sites\n", 403)
        if (refusal := self._token_refusal(request, query)) is not None:
            return refusal
        if request.url.path == "/" and access.token_in_query(query):
            return self._without_token()
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
        if request.scope["type"] == "http" and request.url.path == "/":
            return HTMLResponse(_ASK, 401, headers)
        return PlainTextResponse(_REFUSED_WITH_TOKEN, 401, headers)

    def _without_token(self) -> Response:
        """To the page itself, so that the token stays in neither the address bar nor the history."""
        response = RedirectResponse("/", 303)
        response.set_cookie(
            self._access.cookie, self._access.pass_, max_age=_COOKIE_S, httponly=True, samesite="strict"
        )
        return response
