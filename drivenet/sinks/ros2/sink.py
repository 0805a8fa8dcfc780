"""Results as ROS 2 messages: overlay, class map with its labels, things, diagnostics."""

from __future__ import annotations

import importlib.util

from drivenet.address import mask_uri
from drivenet.errors import UsageError
from drivenet.frame import Image
from drivenet.health import Event, Health
from drivenet.labels import LabelSet
from drivenet.latency import now_ns
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, view_of
from drivenet.sinks.cdr import encode
from drivenet.sinks.jpeg import encode_jpeg
from drivenet.sinks.ros2.address import parse_address, word_of
from drivenet.sinks.ros2.bus import DIAGNOSTICS, LATCHED, PICTURES, Bus
from drivenet.sinks.ros_messages import (
    FRAME_ID,
    Message,
    class_image,
    compressed_image,
    detections,
    event_diagnostics,
    label_info,
    node_diagnostics,
)
from drivenet.wall_clock import WALL

_QUALITY = 85
#: Diagnostics are said once a second (REP 107); the counts come twice as often.
_DIAGNOSTICS_EVERY_NS = 900_000_000


class Ros2Sink(Sink):
    """Publishes every result under a namespace; what nobody subscribes to is not even encoded.

    ``NAMESPACE/overlay/compressed`` (CompressedImage, JPEG of the view), ``NAMESPACE/class_map`` (Image, mono8, at
    engine size), ``NAMESPACE/things`` (Detection2DArray) and ``NAMESPACE/label_info`` (LabelInfo, once, for late
    subscribers too); once a second
    ``/diagnostics`` (DiagnosticArray). Pictures are best effort, keep last 5. Headers carry the capture time
    by the wall clock (see :class:`~drivenet.wall_clock.WallClock`).

    Args:
        uri: ``ros2://DOMAIN/NAMESPACE``, with ``?frame_id=NAME`` for another frame than ``camera``.

    Raises:
        UsageError: if the address is wrong, or neither ROS 2 nor Cyclone DDS is installed.
        SinkError: if the network cannot be joined.
    """

    name = "ros2"
    overflow = "drop"

    def __init__(self, uri: str) -> None:
        address = parse_address(uri, FRAME_ID)
        self.target = mask_uri(uri)
        self._namespace, self._frame_id = address.namespace, address.frame_id
        self._overlay = f"{address.namespace}/overlay/compressed"
        self._class_map, self._labels = f"{address.namespace}/class_map", f"{address.namespace}/label_info"
        self._things = f"{address.namespace}/things"
        self._clock = WALL
        self._said: LabelSet | None = None
        self._health = Health()
        self._diagnosed_ns = 0
        self._bus = self._joined(address.domain)

    @classmethod
    def check_address(cls, uri: str) -> None:
        """See :meth:`Sink.check_address`."""
        parse_address(uri, FRAME_ID)

    @classmethod
    def source_name(cls, source_id: str) -> str:
        """See :meth:`Sink.source_name`: ROS 2 takes no ``-``."""
        return word_of(source_id)

    def publish(self, result: Result) -> None:
        """Send one result to whoever listens."""
        at = self._clock.at(result.frame.captured_ns)
        if result.labels is not self._said:
            self._send(self._labels, label_info(result.labels, at))
            self._said = result.labels
        if self._bus.listened(self._overlay):
            self._send(self._overlay, compressed_image(encode_jpeg(view_of(result), _QUALITY), "jpeg", at))
        if self._bus.listened(self._class_map):
            self._send(self._class_map, class_image(result, at))
        if self._bus.listened(self._things):
            self._send(self._things, detections(result, at))

    def health(self, health: Health) -> None:
        """Have the next diagnostics say how the run is."""
        self._health = health

    def event(self, event: Event) -> None:
        """Send what happened as a status of its own."""
        if event.severity != "debug":
            self._send_status(event_diagnostics(event, self._clock.at(event.at_ns)))

    def marked(self, view: Image, health: Health) -> None:
        """Send the marked view, stamped now; there is no class map."""
        if self._bus.listened(self._overlay):
            self._send(self._overlay, compressed_image(encode_jpeg(view, _QUALITY), "jpeg", self._clock.now()))

    def status(self, totals: Totals) -> None:
        """Send the diagnostics, once a second."""
        now = now_ns()
        if now - self._diagnosed_ns >= _DIAGNOSTICS_EVERY_NS:
            self._diagnosed_ns = now
            self._diagnose(totals)

    def close(self, totals: Totals) -> None:
        """Send the final diagnostics and leave the network."""
        try:
            self._diagnose(totals)
        finally:
            self._bus.close()

    def _joined(self, domain: int) -> Bus:
        bus = open_bus(domain)
        try:
            bus.advertise(self._overlay, "sensor_msgs/CompressedImage", PICTURES)
            bus.advertise(self._class_map, "sensor_msgs/Image", PICTURES)
            bus.advertise(self._things, "vision_msgs/Detection2DArray", PICTURES)
            bus.advertise(self._labels, "vision_msgs/LabelInfo", LATCHED)
            bus.advertise("diagnostics", "diagnostic_msgs/DiagnosticArray", DIAGNOSTICS)
        except BaseException:
            bus.close()
            raise
        return bus

    def _diagnose(self, totals: Totals) -> None:
        self._send_status(node_diagnostics(totals, self._clock.now(), self._health))

    def _send_status(self, message: Message) -> None:
        for status in message.fields["status"]:  # all nodes share one topic, so each says who it is
            status["name"] = self._namespace + status["name"].removeprefix("drivenet")
        self._send("diagnostics", message)

    def _send(self, topic: str, message: Message) -> None:
        message.fields["header"]["frame_id"] = self._frame_id
        self._bus.publish(topic, encode(*message))


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
