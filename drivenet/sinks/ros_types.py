"""The ROS 2 message types that are written without a ROS installation, in their packages' own words."""

from __future__ import annotations

import functools

#: Definitions by ``package/Type``, as in the packages of ROS 2 Humble to Jazzy without their comments.
DEFINITIONS = {
    "builtin_interfaces/Time": "int32 sec\nuint32 nanosec\n",
    "std_msgs/Header": "builtin_interfaces/Time stamp\nstring frame_id\n",
    "sensor_msgs/CompressedImage": "std_msgs/Header header\nstring format\nuint8[] data\n",
    "sensor_msgs/Image": (
        "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\n"
        "uint8[] data\n"
    ),
    "vision_msgs/VisionClass": "uint16 class_id\nstring class_name\n",
    "vision_msgs/LabelInfo": "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n",
    "diagnostic_msgs/KeyValue": "string key\nstring value\n",
    "diagnostic_msgs/DiagnosticStatus": (
        "byte OK=0\nbyte WARN=1\nbyte ERROR=2\nbyte STALE=3\nbyte level\nstring name\nstring message\n"
        "string hardware_id\ndiagnostic_msgs/KeyValue[] values\n"
    ),
    "diagnostic_msgs/DiagnosticArray": "std_msgs/Header header\ndiagnostic_msgs/DiagnosticStatus[] status\n",
    "foxglove_msgs/Color": "float64 r\nfloat64 g\nfloat64 b\nfloat64 a\n",
    "foxglove_msgs/Point2": "float64 x\nfloat64 y\n",
    "foxglove_msgs/CircleAnnotation": (
        "builtin_interfaces/Time timestamp\nfoxglove_msgs/Point2 position\nfloat64 diameter\nfloat64 thickness\n"
        "foxglove_msgs/Color fill_color\nfoxglove_msgs/Color outline_color\n"
    ),
    "foxglove_msgs/PointsAnnotation": (
        "builtin_interfaces/Time timestamp\nuint8 UNKNOWN=0\nuint8 POINTS=1\nuint8 LINE_LOOP=2\nuint8 LINE_STRIP=3\n"
        "uint8 LINE_LIST=4\nuint8 type\nfoxglove_msgs/Point2[] points\nfoxglove_msgs/Color outline_color\n"
        "foxglove_msgs/Color[] outline_colors\nfoxglove_msgs/Color fill_color\nfloat64 thickness\n"
    ),
    "foxglove_msgs/TextAnnotation": (
        "builtin_interfaces/Time timestamp\nfoxglove_msgs/Point2 position\nstring text\nfloat64 font_size\n"
        "foxglove_msgs/Color text_color\nfoxglove_msgs/Color background_color\n"
    ),
    "foxglove_msgs/ImageAnnotations": (
        "foxglove_msgs/CircleAnnotation[] circles\nfoxglove_msgs/PointsAnnotation[] points\n"
        "foxglove_msgs/TextAnnotation[] texts\n"
    ),
}
_SEPARATOR = "=" * 80


@functools.cache
def fields_of(kind: str) -> tuple[tuple[str, str, bool], ...]:
    """Name, type and whether it is a sequence, of every field of a ``package/Type``."""
    rows = (line.split() for line in DEFINITIONS[kind].splitlines() if "=" not in line)
    return tuple((name, of.removesuffix("[]"), of.endswith("[]")) for of, name in rows)


def schema_text(kind: str) -> str:
    """The definition of a ``package/Type`` and of all that it is made of, as ``ros2msg`` schemas are written."""
    needed = [kind]
    for known in needed:  # it grows while it is walked
        needed += [of for _, of, _ in fields_of(known) if of in DEFINITIONS and of not in needed]
    parts = (f"{_SEPARATOR}\nMSG: {of}\n{DEFINITIONS[of]}" for of in needed[1:])
    return DEFINITIONS[kind] + "".join(parts)
