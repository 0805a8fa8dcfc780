"""ROS 2's topics through the machine's own ROS 2.

This file has not been run on a machine with ROS 2: it follows the documentation of rclpy (Humble to Kilted).
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from drivenet.errors import SinkError, UsageError
from drivenet.sinks.ros2.bus import Quality


class RclpyBus:
    """Publishes messages that are serialised already, in a ROS context of its own.

    Args:
        domain: takes the place of ``ROS_DOMAIN_ID``.

    Raises:
        UsageError: if ROS 2 is of another Python.
        SinkError: if ROS 2 does not start.
    """

    def __init__(self, domain: int) -> None:
        self._rclpy, self._qos = _module("rclpy"), _module("rclpy.qos")
        self._publishers: dict[str, Any] = {}
        try:
            self._context = _module("rclpy.context").Context()
            self._rclpy.init(args=[], context=self._context, domain_id=domain)
            self._node = self._rclpy.create_node("drivenet", context=self._context)
        except Exception as error:
            raise SinkError(f"ROS 2 does not start in domain {domain}: {error}") from error

    def advertise(self, topic: str, kind: str, quality: Quality) -> None:
        """Create the publisher of a topic."""
        package, name = kind.split("/")
        message = getattr(_module(f"{package}.msg"), name)
        self._publishers[topic] = self._node.create_publisher(message, f"/{topic}", self._profile(quality))

    def listened(self, topic: str) -> bool:
        """Whether a subscription to this topic is known."""
        return bool(self._publishers[topic].get_subscription_count() > 0)

    def publish(self, topic: str, cdr: bytes) -> None:
        """Publish one message."""
        try:
            self._publishers[topic].publish(cdr)
        except Exception as error:
            raise SinkError(f"ROS 2 takes no message on /{topic}: {error}") from error

    def close(self) -> None:
        """Take the node down, and with it its publishers."""
        self._node.destroy_node()
        self._rclpy.shutdown(context=self._context)

    def _profile(self, quality: Quality) -> Any:
        reliability, durability = self._qos.ReliabilityPolicy, self._qos.DurabilityPolicy
        return self._qos.QoSProfile(
            history=self._qos.HistoryPolicy.KEEP_LAST,
            depth=quality.depth,
            reliability=reliability.RELIABLE if quality.reliable else reliability.BEST_EFFORT,
            durability=durability.TRANSIENT_LOCAL if quality.latched else durability.VOLATILE,
        )


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        distro = os.environ.get("ROS_DISTRO", "DISTRO")
        raise UsageError(
            f"ROS 2 is sourced, but {package} cannot be imported: {error}",
            cure=f"apt install ros-{distro}-{package.replace('_', '-')}, and run drivenet with ROS 2's own Python",
        ) from error
