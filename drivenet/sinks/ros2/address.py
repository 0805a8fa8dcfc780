"""Which ROS 2 network, and under which names there: ``ros2://DOMAIN/NAMESPACE?frame_id=NAME``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from drivenet.address import mask_uri, split_settings
from drivenet.errors import UsageError

#: The highest domain whose UDP ports exist.
HIGHEST_DOMAIN = 232
_EXPECTED = "ros2://DOMAIN/NAMESPACE such as ros2://0/drivenet"
_ADDRESS = re.compile(r"ros2://(\d{1,3})/([^?]+)", re.IGNORECASE)
#: What ROS 2 takes for a name: words that begin with a letter, single underscores, no underscore before a slash.
_NAMESPACE = re.compile(r"(?!.*(?:__|_/|_$))[A-Za-z]\w*(?:/[A-Za-z]\w*)*", re.ASCII)


@dataclass(frozen=True)
class Ros2Address:
    """Where messages go.

    Args:
        domain: the number that ``ROS_DOMAIN_ID`` holds elsewhere, 0..232.
        namespace: what topics begin with, without slashes at its ends.
        frame_id: the coordinate frame in the headers.
    """

    domain: int
    namespace: str
    frame_id: str


def parse_address(uri: str, frame_id: str) -> Ros2Address:
    """An address as the user wrote it, with the frame that headers name if it names none; UsageError if wrong."""
    address, settings = split_settings(uri, ("frame_id",))
    match = _ADDRESS.fullmatch(address)
    if not match:
        raise UsageError(f"output {mask_uri(uri)}", _EXPECTED)
    domain, namespace = int(match[1]), unquote(match[2]).strip("/")
    if domain > HIGHEST_DOMAIN:
        raise UsageError(f"ROS domain {domain} in {mask_uri(uri)}", f"0 to {HIGHEST_DOMAIN}")
    if not _NAMESPACE.fullmatch(namespace):
        raise UsageError(
            f"namespace {namespace!r} in {mask_uri(uri)}", "letters, digits and single underscores between slashes"
        )
    return Ros2Address(domain, namespace, settings.get("frame_id", frame_id))


def word_of(text: str) -> str:
    """The word of a namespace that is most like a text: ``front_left`` for ``front-left``, ``source_1`` for ``1``."""
    word = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    return word if word[:1].isalpha() else f"source_{word}"
