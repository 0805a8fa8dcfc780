"""The few calls that a ROS 2 network is asked for, and who answers them on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Quality:
    """How messages of a topic are delivered.

    Args:
        reliable: whether lost ones are sent again.
        latched: whether who comes later gets the last ones too (transient local).
        depth: how many are kept.
    """

    reliable: bool
    latched: bool
    depth: int


#: For pictures: what is lost is old by now.
PICTURES = Quality(reliable=False, latched=False, depth=5)
#: Readers of diagnostics ask for reliable writers; those that do not are served as well.
DIAGNOSTICS = Quality(reliable=True, latched=False, depth=5)
#: For what is said once.
LATCHED = Quality(reliable=True, latched=True, depth=1)


class Bus(Protocol):
    """A participant in a ROS 2 network. Its methods raise SinkError."""

    def advertise(self, topic: str, kind: str, quality: Quality) -> None:
        """Make a topic known, such as ``drivenet/class_map``, of a type such as ``sensor_msgs/Image``."""

    def listened(self, topic: str) -> bool:
        """Whether anybody subscribes to an advertised topic just now."""

    def publish(self, topic: str, cdr: bytes) -> None:
        """Send a message, with its encapsulation header, to an advertised topic."""

    def close(self) -> None:
        """Leave the network."""
