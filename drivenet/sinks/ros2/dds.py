"""ROS 2's topics on plain DDS, spoken by Cyclone DDS: no ROS installation is needed."""

from __future__ import annotations

import functools
from typing import Any

from cyclonedds.core import DDSException
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import make_idl_struct, types
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.topic import Topic

from drivenet.errors import SinkError
from drivenet.sinks.ros2.bus import Quality
from drivenet.sinks.ros_types import DEFINITIONS, SEQUENCE, fields_of

#: How ROS 2 from Iron on knows that two sides mean the same type; it warns of writers that do not say.
TYPE_HASHES = {
    "sensor_msgs/CompressedImage": "RIHS01_15640771531571185e2efc8a100baf923961a4d15d5569652e6cb6691e8e371a",
    "sensor_msgs/Image": "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47",
    "vision_msgs/LabelInfo": "RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "vision_msgs/Detection2DArray": "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "diagnostic_msgs/DiagnosticArray": "RIHS01_5a8a36efb05fb25070fa0fb3810290c0e6cd4862b54a8fb975a1ee8dc55a333e",
}
_SEQUENCE: Any = types.sequence
_ARRAY: Any = types.array
_PRIMITIVES: dict[str, Any] = {
    "byte": types.byte,
    "uint8": types.uint8,
    "uint16": types.uint16,
    "int32": types.int32,
    "uint32": types.uint32,
    "float32": types.float32,
    "float64": types.float64,
    "string": str,
}
#: How long a write may wait for a reader that wants lost messages again.
_MOST_BLOCKED_NS = 100_000_000


class DdsBus:
    """Writes topics in one DDS domain. ``CYCLONEDDS_URI`` configures the network as for ROS 2's own Cyclone.

    Args:
        domain: what ``ROS_DOMAIN_ID`` is elsewhere.

    Raises:
        SinkError: if the domain cannot be joined.
    """

    def __init__(self, domain: int) -> None:
        self._domain = domain
        self._writers: dict[str, DataWriter[Any]] = {}
        self._participant: Any = None
        try:
            self._participant = DomainParticipant(domain)
        except DDSException as error:
            raise self._failed("cannot be joined", error) from error

    def advertise(self, topic: str, kind: str, quality: Quality) -> None:
        """Create the writer of a topic."""
        qos = _qos(kind, quality)
        try:
            named = Topic(self._participant, f"rt/{topic}", _sample_type(kind), qos=qos)
            self._writers[topic] = DataWriter(self._participant, named, qos=qos)
        except DDSException as error:
            raise self._failed(f"takes no topic {topic}", error) from error

    def listened(self, topic: str) -> bool:
        """Whether a reader of this topic is known."""
        return bool(self._writers[topic].get_matched_subscriptions())

    def publish(self, topic: str, cdr: bytes) -> None:
        """Write one message."""
        writer = self._writers[topic]
        try:
            writer.write(writer.data_type(cdr))
        except DDSException as error:
            if error.code != DDSException.DDS_RETCODE_TIMEOUT:  # a slow reader misses what others get
                raise self._failed(f"takes no message on {topic}", error) from error

    def close(self) -> None:
        """Delete all writers and leave the domain: Cyclone's objects do that when they are let go."""
        self._writers.clear()
        self._participant = None

    def _failed(self, what: str, error: DDSException) -> SinkError:
        cure = "check the network interfaces, and CYCLONEDDS_URI if it is set"
        return SinkError(f"DDS domain {self._domain} {what}: {error.msg or error}", cure=cure)


def _qos(kind: str, quality: Quality) -> Qos:
    return Qos(
        Policy.Reliability.Reliable(_MOST_BLOCKED_NS) if quality.reliable else Policy.Reliability.BestEffort,
        Policy.Durability.TransientLocal if quality.latched else Policy.Durability.Volatile,
        Policy.History.KeepLast(quality.depth),
        Policy.DataRepresentation(use_cdrv0_representation=True),  # the only one that ROS 2 reads
        Policy.Userdata(f"typehash={TYPE_HASHES[kind]};".encode()),
    )


@functools.cache
def _sample_type(kind: str) -> Any:
    """The type that Cyclone announces. Its samples hold the message's bytes already: field by field, a class map
    of 0.5 MB takes 25 ms.
    """

    def hold(sample: Any, cdr: bytes) -> None:
        sample.cdr = cdr

    made = _struct(kind)
    made.__init__ = hold
    made.serialize = lambda sample, **_: sample.cdr
    return made


def _struct(kind: str) -> Any:
    package, name = kind.split("/")
    fields = {field: _many(_member(of), length) for field, of, length in fields_of(kind)}
    return make_idl_struct(f"{name}_", f"{package}::msg::dds_::{name}_", fields, dataclassify=False)


def _many(member: Any, length: int) -> Any:
    if length == SEQUENCE:
        return _SEQUENCE[member]
    return _ARRAY[member, length] if length else member


def _member(of: str) -> Any:
    return _struct(of) if of in DEFINITIONS else _PRIMITIVES[of]
