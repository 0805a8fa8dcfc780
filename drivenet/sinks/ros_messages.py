"""ROS 2 messages as bytes (CDR): the few types that outputs speak, written without a ROS installation."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from drivenet.classmap import Ids

#: Fields by type, in the order of the .msg files of common_interfaces, rcl_interfaces, vision_msgs (4.x) and
#: foxglove_msgs.
TYPES: dict[str, dict[str, str]] = {
    "builtin_interfaces/msg/Time": {"sec": "int32", "nanosec": "uint32"},
    "std_msgs/msg/Header": {"stamp": "builtin_interfaces/msg/Time", "frame_id": "string"},
    "sensor_msgs/msg/CompressedImage": {"header": "std_msgs/msg/Header", "format": "string", "data": "uint8[]"},
    "sensor_msgs/msg/Image": {
        "header": "std_msgs/msg/Header",
        "height": "uint32",
        "width": "uint32",
        "encoding": "string",
        "is_bigendian": "uint8",
        "step": "uint32",
        "data": "uint8[]",
    },
    "vision_msgs/msg/VisionClass": {"class_id": "uint16", "class_name": "string"},
    "vision_msgs/msg/LabelInfo": {
        "header": "std_msgs/msg/Header",
        "class_map": "vision_msgs/msg/VisionClass[]",
        "threshold": "float32",
    },
    "diagnostic_msgs/msg/KeyValue": {"key": "string", "value": "string"},
    "diagnostic_msgs/msg/DiagnosticStatus": {
        "level": "byte",
        "name": "string",
        "message": "string",
        "hardware_id": "string",
        "values": "diagnostic_msgs/msg/KeyValue[]",
    },
    "diagnostic_msgs/msg/DiagnosticArray": {
        "header": "std_msgs/msg/Header",
        "status": "diagnostic_msgs/msg/DiagnosticStatus[]",
    },
    "foxglove_msgs/msg/Color": dict.fromkeys("rgba", "float64"),
    "foxglove_msgs/msg/Point2": dict.fromkeys("xy", "float64"),
    "foxglove_msgs/msg/CircleAnnotation": {
        "timestamp": "builtin_interfaces/msg/Time",
        "position": "foxglove_msgs/msg/Point2",
        "diameter": "float64",
        "thickness": "float64",
        "fill_color": "foxglove_msgs/msg/Color",
        "outline_color": "foxglove_msgs/msg/Color",
    },
    "foxglove_msgs/msg/PointsAnnotation": {
        "timestamp": "builtin_interfaces/msg/Time",
        "type": "uint8",
        "points": "foxglove_msgs/msg/Point2[]",
        "outline_color": "foxglove_msgs/msg/Color",
        "outline_colors": "foxglove_msgs/msg/Color[]",
        "fill_color": "foxglove_msgs/msg/Color",
        "thickness": "float64",
    },
    "foxglove_msgs/msg/TextAnnotation": {
        "timestamp": "builtin_interfaces/msg/Time",
        "position": "foxglove_msgs/msg/Point2",
        "text": "string",
        "font_size": "float64",
        "text_color": "foxglove_msgs/msg/Color",
        "background_color": "foxglove_msgs/msg/Color",
    },
    "foxglove_msgs/msg/ImageAnnotations": {
        "circles": "foxglove_msgs/msg/CircleAnnotation[]",
        "points": "foxglove_msgs/msg/PointsAnnotation[]",
        "texts": "foxglove_msgs/msg/TextAnnotation[]",
    },
}
_NUMBERS = {"byte": "B", "uint8": "B", "uint16": "H", "int32": "i", "uint32": "I", "float32": "f", "float64": "d"}
_LITTLE_ENDIAN = b"\x00\x01\x00\x00"


def encode(type_name: str, message: Mapping[str, Any]) -> bytes:
    """A message as ROS 2 sends and records it: plain CDR (XCDR 1), little endian, its four-byte header first.

    Args:
        type_name: one of :data:`TYPES`.
        message: a value for every field: numbers, strings, bytes for ``uint8[]``, lists, mappings for messages.

    Raises:
        KeyError: if a field is missing.
        struct.error: if a number does not fit.
    """
    out = bytearray()
    _write(out, type_name, message)
    return _LITTLE_ENDIAN + out


def _write(out: bytearray, kind: str, value: Any) -> None:
    if kind in _NUMBERS:
        _number(out, _NUMBERS[kind], value)
    elif kind == "string":
        text = value.encode() + b"\0"
        _number(out, "I", len(text))
        out += text
    elif kind == "uint8[]":
        _number(out, "I", len(value))
        out += value
    elif kind.endswith("[]"):
        _number(out, "I", len(value))
        for item in value:
            _write(out, kind.removesuffix("[]"), item)
    else:
        for name, of in TYPES[kind].items():
            _write(out, of, value[name])


def _number(out: bytearray, code: str, value: float) -> None:
    """Numbers stand at multiples of their size, counted from behind the header."""
    out += bytes(-len(out) % struct.calcsize(code))
    out += struct.pack("<" + code, value)


def definition(type_name: str) -> str:
    """A type and all that it is made of, as ``ros2msg`` schemas are written.

    Args:
        type_name: one of :data:`TYPES`.
    """
    needed = [type_name]
    for name in needed:  # it grows while it is walked
        inner = (of.removesuffix("[]") for of in TYPES[name].values())
        needed += [of for of in dict.fromkeys(inner) if of in TYPES and of not in needed]
    texts = ["".join(f"{of} {field}\n" for field, of in TYPES[name].items()) for name in needed]
    parts = (f"{'=' * 80}\nMSG: {name}\n{text}" for name, text in zip(needed[1:], texts[1:], strict=True))
    return (texts[0] + "".join(parts)).replace("/msg/", "/")


def header(wall_ns: int, frame_id: str) -> dict[str, Any]:
    """``std_msgs/msg/Header`` of a moment in nanoseconds since 1970."""
    sec, nanosec = divmod(wall_ns, 1_000_000_000)
    return {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": frame_id}


def compressed_image(head: Mapping[str, Any], data: bytes, form: str = "jpeg") -> bytes:
    """``sensor_msgs/msg/CompressedImage`` of an encoded picture; ``form`` is ``jpeg`` or ``png``."""
    return encode("sensor_msgs/msg/CompressedImage", {"header": head, "format": form, "data": data})


def mono8_image(head: Mapping[str, Any], ids: Ids) -> bytes:
    """``sensor_msgs/msg/Image`` of class ids, (H, W) uint8."""
    height, width = ids.shape
    values = {"height": height, "width": width, "encoding": "mono8", "is_bigendian": 0, "step": width}
    return encode("sensor_msgs/msg/Image", {"header": head, **values, "data": ids.tobytes()})


def label_info(head: Mapping[str, Any], classes: Sequence[str]) -> bytes:
    """``vision_msgs/msg/LabelInfo``: a class's id is its place; 255, the unlabelled, needs no entry."""
    class_map = [{"class_id": i, "class_name": name} for i, name in enumerate(classes)]
    return encode("vision_msgs/msg/LabelInfo", {"header": head, "class_map": class_map, "threshold": 0.0})


def diagnostics(
    head: Mapping[str, Any], name: str, level: int, message: str, values: Mapping[str, object], hardware: str = ""
) -> bytes:
    """``diagnostic_msgs/msg/DiagnosticArray`` with one status; levels: 0 OK, 1 WARN, 2 ERROR, 3 STALE."""
    pairs = [{"key": key, "value": str(value)} for key, value in values.items()]
    status = {"level": level, "name": name, "message": message, "hardware_id": hardware, "values": pairs}
    return encode("diagnostic_msgs/msg/DiagnosticArray", {"header": head, "status": [status]})
