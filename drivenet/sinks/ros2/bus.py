"""The few calls that a ROS 2 network is asked for, and who answers them on this machine."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Protocol

from drivenet.errors import UsageError


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


def open_bus(domain: int) -> Bus:
    """Through the machine's own ROS 2 where it is sourced, else through DDS.

    Raises:
        UsageError: if there is neither.
        SinkError: if the network cannot be joined.
    """
    if importlib.util.find_spec("rclpy"):
        from drivenet.sinks.ros2.rclpy_bus import RclpyBus

        return RclpyBus(domain)
    if importlib.util.find_spec("cyclonedds"):
        from drivenet.sinks.ros2.dds import DdsBus

        return DdsBus(domain)
    raise UsageError(
        "ros2:// finds neither rclpy nor cyclonedds",
        cure="source ROS 2 (. /opt/ros/DISTRO/setup.bash), or without ROS on x86: pip install 'drivenet[ros2]'",
    )
