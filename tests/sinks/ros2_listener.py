"""Another participant in a DDS domain: ros2_listener.py DOMAIN TOPIC...

Declares the types by itself, prints ``ready``, then for every topic one line of JSON with the message's bytes as
they came over the wire and what its writer offers; ends when all have come.
"""

import base64
import json
import sys
from dataclasses import dataclass

from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication, DcpsEndpoint
from cyclonedds.core import ReadCondition, SampleState, WaitSet
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, byte, float32, float64, int32, sequence, uint8, uint16, uint32
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration


@dataclass
class Time_(IdlStruct, typename="builtin_interfaces::msg::dds_::Time_"):
    sec: int32
    nanosec: uint32


@dataclass
class Header_(IdlStruct, typename="std_msgs::msg::dds_::Header_"):
    stamp: Time_
    frame_id: str


@dataclass
class CompressedImage_(IdlStruct, typename="sensor_msgs::msg::dds_::CompressedImage_"):
    header: Header_
    format: str
    data: sequence[uint8]


@dataclass
class Image_(IdlStruct, typename="sensor_msgs::msg::dds_::Image_"):
    header: Header_
    height: uint32
    width: uint32
    encoding: str
    is_bigendian: uint8
    step: uint32
    data: sequence[uint8]


@dataclass
class VisionClass_(IdlStruct, typename="vision_msgs::msg::dds_::VisionClass_"):
    class_id: uint16
    class_name: str


@dataclass
class LabelInfo_(IdlStruct, typename="vision_msgs::msg::dds_::LabelInfo_"):
    header: Header_
    class_map: sequence[VisionClass_]
    threshold: float32


@dataclass
class Point_(IdlStruct, typename="geometry_msgs::msg::dds_::Point_"):
    x: float64
    y: float64
    z: float64


@dataclass
class Quaternion_(IdlStruct, typename="geometry_msgs::msg::dds_::Quaternion_"):
    x: float64
    y: float64
    z: float64
    w: float64


@dataclass
class Pose_(IdlStruct, typename="geometry_msgs::msg::dds_::Pose_"):
    position: Point_
    orientation: Quaternion_


@dataclass
class PoseWithCovariance_(IdlStruct, typename="geometry_msgs::msg::dds_::PoseWithCovariance_"):
    pose: Pose_
    covariance: array[float64, 36]


@dataclass
class Point2D_(IdlStruct, typename="vision_msgs::msg::dds_::Point2D_"):
    x: float64
    y: float64


@dataclass
class Pose2D_(IdlStruct, typename="vision_msgs::msg::dds_::Pose2D_"):
    position: Point2D_
    theta: float64


@dataclass
class BoundingBox2D_(IdlStruct, typename="vision_msgs::msg::dds_::BoundingBox2D_"):
    center: Pose2D_
    size_x: float64
    size_y: float64


@dataclass
class ObjectHypothesis_(IdlStruct, typename="vision_msgs::msg::dds_::ObjectHypothesis_"):
    class_id: str
    score: float64


@dataclass
class ObjectHypothesisWithPose_(IdlStruct, typename="vision_msgs::msg::dds_::ObjectHypothesisWithPose_"):
    hypothesis: ObjectHypothesis_
    pose: PoseWithCovariance_


@dataclass
class Detection2D_(IdlStruct, typename="vision_msgs::msg::dds_::Detection2D_"):
    header: Header_
    results: sequence[ObjectHypothesisWithPose_]
    bbox: BoundingBox2D_
    id: str


@dataclass
class Detection2DArray_(IdlStruct, typename="vision_msgs::msg::dds_::Detection2DArray_"):
    header: Header_
    detections: sequence[Detection2D_]


@dataclass
class KeyValue_(IdlStruct, typename="diagnostic_msgs::msg::dds_::KeyValue_"):
    key: str
    value: str


@dataclass
class DiagnosticStatus_(IdlStruct, typename="diagnostic_msgs::msg::dds_::DiagnosticStatus_"):
    level: byte
    name: str
    message: str
    hardware_id: str
    values: sequence[KeyValue_]


@dataclass
class DiagnosticArray_(IdlStruct, typename="diagnostic_msgs::msg::dds_::DiagnosticArray_"):
    header: Header_
    status: sequence[DiagnosticStatus_]


TYPES = {
    "compressed": CompressedImage_,
    "class_map": Image_,
    "label_info": LabelInfo_,
    "things": Detection2DArray_,
    "diagnostics": DiagnosticArray_,
}


class Raw(bytes):
    """A message as it came; the reader notes on it when."""


def as_subscribed(last_word: str) -> Qos:
    """What the usual readers of such a topic ask for; a writer that offers less is not matched."""
    reliable = last_word in ("label_info", "diagnostics")
    return Qos(
        Policy.Reliability.Reliable(0) if reliable else Policy.Reliability.BestEffort,
        Policy.Durability.TransientLocal if last_word == "label_info" else Policy.Durability.Volatile,
        Policy.History.KeepLast(5),
        Policy.DataRepresentation(use_cdrv0_representation=True),
    )


def reader_of(participant: DomainParticipant, name: str) -> DataReader:
    last_word = name.rsplit("/", 1)[-1]
    kind, qos = TYPES[last_word], as_subscribed(last_word)
    kind.deserialize = classmethod(lambda _, data, **__: Raw(data))
    return DataReader(participant, Topic(participant, name, kind, qos=qos), qos=qos)


def tell(name: str, cdr: bytes, writer: DcpsEndpoint) -> None:
    offered = [repr(policy) for policy in writer.qos]
    line = {"topic": name, "cdr": base64.b64encode(cdr).decode(), "type": writer.type_name, "offered": offered}
    print(json.dumps(line), flush=True)


def main(domain: str, *names: str) -> None:
    participant = DomainParticipant(int(domain))
    writers = BuiltinDataReader(participant, BuiltinTopicDcpsPublication)
    readers = {name: reader_of(participant, name) for name in names}
    arrival = WaitSet(participant)
    for reader in readers.values():
        arrival.attach(ReadCondition(reader, SampleState.NotRead))
    print("ready", flush=True)
    known: dict[str, DcpsEndpoint] = {}
    missing = set(names)
    while missing:
        arrival.wait(duration(seconds=60))
        known |= {writer.topic_name: writer for writer in writers.take(100)}
        for name, reader in readers.items():
            samples = reader.take(10)
            if samples and name in missing:
                tell(name, samples[0], known[name])
                missing.discard(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
