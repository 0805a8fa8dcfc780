"""Scenes, class ids and overlays on a zenoh network, and the node's state with a token that says whether it lives."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from drivenet.address import mask_uri
from drivenet.errors import SinkError, UsageError
from drivenet.frame import Image
from drivenet.health import Event, Health
from drivenet.palette_png import encode_palette_png
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, view_of
from drivenet.sinks.clock import reached
from drivenet.sinks.extras import need
from drivenet.sinks.jpeg import encode_jpeg
from drivenet.sinks.jsonl import to_json
from drivenet.sinks.node_state import NodeState, event_message
from drivenet.wall_clock import WALL

if TYPE_CHECKING:
    from zenoh import Config, Query, Session

_PORT = 7447
_CONNECT_MS = 3000
_QUALITY = 85
_ENCODINGS = {
    "scene": "application/json", "class_map": "image/png", "overlay": "image/jpeg", "state": "application/json",
    "event": "application/json",
}  # fmt: skip
_EXPECTED = "zenoh://[HOST[:PORT]]/KEY, such as zenoh:///cars/front"


class ZenohSink(Sink):
    """Publishes below a key: ``scene`` (JSON, a stats line with ``captured_unix_ns``), ``class_map`` (PNG whose pixels
    are class ids), ``overlay`` (JPEG of the view), ``state`` and ``event`` (JSON); ``alive`` is a liveliness token.

    A picture that nobody subscribes to is not encoded. Pictures carry ``{"frame", "captured_unix_ns"}`` as their
    attachment. ``state`` is sent whenever it changes, and answers queries. A slow network drops messages.

    Args:
        uri: ``zenoh://host[:port]/key`` for a router or peer there; ``zenoh:///key`` for what ``ZENOH_CONFIG`` says,
            or else for the peers that are found in the local network.

    Raises:
        UsageError: for an address that is not like this, or if the extra ``[zenoh]`` is not installed.
        SinkError: if there is nobody at the host.
    """

    name = "zenoh"
    overflow = "drop"

    def __init__(self, uri: str) -> None:
        self.check_address(uri)
        endpoint, key = _parse(uri)
        import zenoh

        self.target, self._key = mask_uri(uri), key
        self._zenoh, self._node, self._state = zenoh, NodeState(), b""
        try:
            zenoh.KeyExpr(key)
            self._session: Session = zenoh.open(_config(endpoint))
        except zenoh.ZError as error:
            raise SinkError(f"zenoh does not open {self.target}: {_said(error)}", cure="check key and host") from error
        self._publishers = {name: self._session.declare_publisher(f"{key}/{name}") for name in _ENCODINGS}
        self._session.declare_queryable(f"{key}/state", self._answer)
        self._tell()
        self._token = self._session.liveliness().declare_token(f"{key}/alive")

    @classmethod
    def check_address(cls, uri: str) -> None:
        """See :meth:`Sink.check_address`."""
        _parse(uri)
        need("zenoh", "a zenoh:// output", "zenoh")

    def publish(self, result: Result) -> None:
        """Send one result to whoever subscribes."""
        if self._node.publishes(result.labels):
            self._tell()
        at = {"frame": result.frame.index, "captured_unix_ns": WALL.at(result.frame.captured_ns)}
        if self._wanted("class_map"):
            png = encode_palette_png(result.classmap.ids, result.labels.rgb_table)
            self._put("class_map", png, at)
        if self._wanted("overlay"):
            self._put("overlay", encode_jpeg(view_of(result), _QUALITY), at)
        scene = {**reached(result).to_dict(), **at}
        self._put("scene", to_json(scene).encode())

    def marked(self, view: Image, health: Health) -> None:
        """Show the marked view."""
        if self._wanted("overlay"):
            self._put("overlay", encode_jpeg(view, _QUALITY))

    def health(self, health: Health) -> None:
        """Say how the node is, when that changes."""
        if self._node.fares(health):
            self._tell()

    def event(self, event: Event) -> None:
        """Send what happened."""
        if event.severity != "debug":
            self._put("event", to_json(event_message(event)).encode())

    def status(self, totals: Totals) -> None:
        """Say which engine it is, as soon as that is known."""
        if self._node.works_with(totals.engine):
            self._tell()

    def close(self, totals: Totals) -> None:
        """Say goodbye, and what came of the run; the token goes with the session."""
        self._node.ended(totals)
        self._tell()
        self._session.close()  # type: ignore[no-untyped-call]

    def _wanted(self, name: str) -> bool:
        status: Any = self._publishers[name].matching_status  # zenoh's own types call it a bool, which it is not
        return bool(status.matching)

    def _tell(self) -> None:
        self._state = to_json(self._node.to_dict()).encode()
        self._put("state", self._state)

    def _answer(self, query: Query) -> None:
        """In zenoh's thread."""
        query.reply(f"{self._key}/state", self._state, encoding=_ENCODINGS["state"])

    def _put(self, name: str, data: bytes, at: dict[str, int] | None = None) -> None:
        try:
            attachment = to_json(at).encode() if at else None
            self._publishers[name].put(data, encoding=_ENCODINGS[name], attachment=attachment)
        except self._zenoh.ZError as error:
            raise SinkError(f"zenoh takes nothing for {self.target}: {_said(error)}") from error


def _config(endpoint: str) -> Config:
    from zenoh import Config

    config: Config = Config.from_env() if os.environ.get("ZENOH_CONFIG") else Config()
    if endpoint:
        config.insert_json5("mode", '"client"')
        config.insert_json5("connect/endpoints", json.dumps([endpoint]))
        config.insert_json5("connect/timeout_ms", str(_CONNECT_MS))
    return config


def _said(error: Exception) -> str:
    """Without the place in zenoh's own source."""
    return str(error).partition(" at /")[0].rstrip(".")


def _parse(uri: str) -> tuple[str, str]:
    """Endpoint, empty for none, and key."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    key = parts.path.strip("/")
    if not key or parts.username is not None or parts.query or "#" in uri or port == 0 or (port and not host):
        raise UsageError(f"output {mask_uri(uri)}", _EXPECTED, "user, password and certificates belong in ZENOH_CONFIG")
    if any(c in key for c in "*$?#"):
        raise UsageError(f"key {key!r:.60}", "a name without * $ ? and #, such as cars/front")
    return (f"tcp/{f'[{host}]' if ':' in host else host}:{port or _PORT}" if host else ""), key
