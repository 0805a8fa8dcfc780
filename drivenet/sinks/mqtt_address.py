"""Which broker and topic: ``mqtt://[user:password@]host[:port]/topic``."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from drivenet.address import ESCAPES, mask_uri, split_settings
from drivenet.errors import UsageError

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_EXPECTED = "mqtt://HOST[:PORT]/TOPIC, or mqtts:// for TLS"


@dataclass(frozen=True)
class MqttAddress:
    """Where scenes go.

    Args:
        host, port: of the broker.
        topic: what topics begin with, without slashes at its ends.
        user, password: None where there are none; never shown.
        tls: whether the connection is encrypted.
        ca: file with the certificates to trust instead of the system's.
    """

    host: str
    port: int
    topic: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_address(uri: str) -> MqttAddress:
    """An address as the user wrote it; UsageError without its credentials if it is wrong."""
    wrong = UsageError(f"output {mask_uri(uri)}", _EXPECTED, ESCAPES)
    if "@" in uri.partition("?")[2]:  # a part of a password would be taken for a setting, and told
        raise wrong
    address, settings = split_settings(uri, ("ca",))
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None  # its text may hold a part of a password
    topic = unquote(parts.path).strip("/")
    if parts.scheme not in _PORTS or not host or port == 0 or "#" in address or not topic:
        raise wrong
    if any(c in topic for c in "+#\0") or topic.startswith("$") or len(topic.encode()) > 1000:
        raise UsageError(f"topic {topic!r:.60}", "a name without + and #, such as cars/front")
    user, password = (None if text is None else unquote(text) for text in (parts.username, parts.password))
    tls = parts.scheme == "mqtts"
    return MqttAddress(host, port or _PORTS[parts.scheme], topic, user, password, tls, settings.get("ca"))
