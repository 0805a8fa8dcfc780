"""Who may look: the rules for bindings, tokens, Host and Origin, and the headers that every answer carries."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from drivenet.address import mask_uri
from drivenet.errors import UsageError

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_LEAST_TOKEN = 12
_TOKEN_RULE = f"at least {_LEAST_TOKEN} characters, letters, digits and signs without spaces"
_HOST = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", re.ASCII)

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Whether a bind address is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_binding(host: str, token: str | None, allow_anonymous: bool, allowed_hosts: Sequence[str] = ()) -> None:
    """Whether a page may be opened there.

    Raises:
        UsageError: for a weak token, a token together with ``allow_anonymous``, an address that others reach
            without either, or an allowed host that no ``Host`` can name.
    """
    for text in allowed_hosts:
        _allowed_name(text)
    if token is not None:
        if len(token) < _LEAST_TOKEN or not all(33 <= ord(c) < 127 for c in token):
            raise UsageError("a token that is too short or holds other characters", _TOKEN_RULE)
        if allow_anonymous:
            raise UsageError("--token together with --allow-anonymous", "one of them")
    elif not is_loopback(host) and not allow_anonymous:
        raise UsageError(
            f"a page on {host}, which others can reach, without a token",
            "one in DRIVENET_TOKEN, or --token TOKEN",
            "or pass --allow-anonymous, or serve on 127.0.0.1",
        )


class Access:
    """Decides about one request. Knows no framework.

    Args:
        host: the bind address.
        port: the bound port; it tells cookies of several pages on one machine apart.
        token: what must be shown; None = nothing.
        allowed_hosts: further names under which the page is reached (a proxy's, say). Their ports matter for pages that
            state one: of ``cam.example:8443`` they may come also where the proxy leaves the port out of ``Host``.

    Raises:
        UsageError: for an allowed host that no ``Host`` can name.
    """

    def __init__(self, host: str, port: int, token: str | None, allowed_hosts: Sequence[str] = ()) -> None:
        self._token = token
        self.cookie = f"drivenet_{port}"
        #: What a browser keeps instead of the token; it opens this page only.
        self.pass_ = hmac.new(token.encode(), self.cookie.encode(), hashlib.sha256).hexdigest() if token else ""
        self._names = {_allowed_name(h) for h in allowed_hosts} | _LOOPBACK_NAMES | {host.lower()}
        self._origins = {h.lower() for h in allowed_hosts if h.rpartition(":")[2].isdecimal() and not _is_address(h)}
        self._any_address = not is_loopback(host)
        if self._any_address:
            name = socket.gethostname().lower()
            self._names |= {name, f"{name}.local"}

    def host_allowed(self, header: str) -> bool:
        """Whether a ``Host`` is this page's: an unknown name may be another site's that was rebound to us."""
        name = _host_name(header)
        if name in self._names:
            return True
        return self._any_address and _is_address(name)

    def origin_allowed(self, origin: str | None, host: str) -> bool:
        """Whether a request that says where its page came from came from ours. Programs say nothing."""
        place = None if origin is None else origin.partition("://")[2].lower()
        return place is None or place == host.lower() or place in self._origins

    def has_guess(self, headers: Mapping[str, str], query: str) -> bool:
        """Whether a request shows something that may be meant as the token. A cookie is no guess: nobody guesses it."""
        return self._token is not None and ("authorization" in headers or "token" in parse_qs(query))

    def token_shown(self, headers: Mapping[str, str], cookies: Mapping[str, str], query: str) -> bool:
        """Whether the token, or the pass made of it, is there: ``Authorization: Bearer``, ``?token=`` or cookie.

        All are compared in constant time.
        """
        if self._token is None:
            return True
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        good = _same(bearer.strip() if scheme.lower() == "bearer" else "", self._token)
        good |= self.token_in_query(query)
        good |= _same(cookies.get(self.cookie, ""), self.pass_)
        return good

    def token_in_query(self, query: str) -> bool:
        """Whether a query string holds the token."""
        return self._token is not None and _same((parse_qs(query).get("token") or [""])[-1], self._token)


def _same(shown: str, wanted: str) -> bool:
    # digests have one length: not even that of the token shows in the time taken
    a, b = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (shown, wanted))
    return hmac.compare_digest(a, b)


def _host_name(header: str) -> str:
    """The name in a ``Host`` header, without port and brackets; empty if it is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def _allowed_name(text: str) -> str:
    """What :func:`_host_name` makes of requests to an ``--allowed-host``; an IPv6 address may lack its brackets."""
    if _is_address(bare := text.strip("[]")):
        return bare.lower()
    name = _host_name(text) if _HOST.fullmatch(text) else ""
    if not name or (":" in name and not _is_address(name)):  # the latter: Python 3.10 takes any in brackets
        raise UsageError(
            f"--allowed-host {mask_uri(text)!r}", "a host such as cam.local", "leave out what is not its name"
        )
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
