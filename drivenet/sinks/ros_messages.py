"""Results and totals as ROS 2 messages: the type and its fields as plain values, for any way of sending them.

``header.stamp`` is the capture time of the frame by the wall clock, ``header.frame_id`` is ``camera``. Areas are
shares of the frame, 0..1; times of stages are in ms.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from drivenet.health import SILENT, Event, Health
from drivenet.labels import LabelSet
from drivenet.result import Result, Totals
from drivenet.things import Thing

FRAME_ID = "camera"
#: Levels of ``diagnostic_msgs/DiagnosticStatus``.
OK, WARN, ERROR = 0, 1, 2
_LINE_LOOP = 2
_CLEAR = {"r": 0.0, "g": 0.0, "b": 0.0, "a": 0.0}
_WHITE = {"r": 1.0, "g": 1.0, "b": 1.0, "a": 1.0}

Fields = dict[str, Any]


class Message(NamedTuple):
    """A message to be sent.

    Args:
        kind: its type as ``package/Type``.
        fields: every field by name; nested messages are dicts, ``uint8[]`` is bytes or a C-contiguous array.
    """

    kind: str
    fields: Fields


def stamp(wall_ns: int) -> Fields:
    """``builtin_interfaces/Time``."""
    sec, nanosec = divmod(wall_ns, 1_000_000_000)
    return {"sec": sec, "nanosec": nanosec}


def header(wall_ns: int) -> Fields:
    """``std_msgs/Header``."""
    return {"stamp": stamp(wall_ns), "frame_id": FRAME_ID}


def compressed_image(data: bytes, form: str, wall_ns: int) -> Message:
    """An encoded picture; ``form`` is ``jpeg`` or ``png``."""
    return Message("sensor_msgs/CompressedImage", {"header": header(wall_ns), "format": form, "data": data})


def class_image(result: Result, wall_ns: int) -> Message:
    """The class ids at engine size, ``mono8``."""
    height, width = result.classmap.ids.shape
    fields = {
        "header": header(wall_ns), "height": height, "width": width, "encoding": "mono8", "is_bigendian": 0,
        "step": width, "data": result.classmap.ids.tobytes(),
    }  # fmt: skip
    return Message("sensor_msgs/Image", fields)


def label_info(labels: LabelSet, wall_ns: int) -> Message:
    """What the ids of the class image mean."""
    classes = [{"class_id": i, "class_name": name} for i, name in enumerate(labels.classes)]
    return Message("vision_msgs/LabelInfo", {"header": header(wall_ns), "class_map": classes, "threshold": 0.0})


def box_annotations(result: Result, wall_ns: int) -> Message:
    """The things as boxes with labels, in pixels of the frame, as Foxglove draws them."""
    at, width = stamp(wall_ns), result.frame.size[1]
    fields = {
        "circles": [],
        "points": [_box(thing, result.labels, at, width) for thing in result.scene.things],
        "texts": [_label(thing, result.labels, at, width) for thing in result.scene.things],
    }
    return Message("foxglove_msgs/ImageAnnotations", fields)


def detections(result: Result, wall_ns: int) -> Message:
    """The things as ``vision_msgs/Detection2DArray`` (4.1, of Humble and later), in pixels of the frame.

    ``id`` is the id of a tracked thing, else empty; the hypothesis is its class by name, and its score, 0 where the
    model gives none.
    """
    head = header(wall_ns)
    return Message(
        "vision_msgs/Detection2DArray",
        {"header": head, "detections": [_detection(t, head) for t in result.scene.things]},
    )


def _detection(thing: Thing, head: Fields) -> Fields:
    x, y, w, h = thing.box
    pose = {
        "position": {"x": 0.0, "y": 0.0, "z": 0.0}, "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
    }  # fmt: skip
    return {
        "header": head,
        "results": [
            {
                "hypothesis": {"class_id": thing.cls, "score": thing.score or 0.0},
                "pose": {"pose": pose, "covariance": [0.0] * 36},
            }
        ],
        "bbox": {"center": {"position": {"x": x + w / 2, "y": y + h / 2}, "theta": 0.0}, "size_x": float(w),
                 "size_y": float(h)},
        "id": str(thing.id) if thing.id else "",
    }  # fmt: skip


def frame_diagnostics(result: Result, wall_ns: int) -> Message:
    """One frame's stages, and the areas of the groups and classes in it."""
    line = result.to_dict()
    values = {
        "frame": line["frame"],
        **{f"{stage} ms": ms for stage, ms in line["stages_ms"].items()},
        "end_to_end ms": line["end_to_end_ms"],
        **{f"group {name}": group["fraction"] for name, group in line["groups"].items()},
        **{f"class {name}": share for name, share in line["classes"].items()},
    }
    return _diagnostics(wall_ns, [_status("drivenet: frame", "", values)])


def node_diagnostics(totals: Totals, wall_ns: int, health: Health) -> Message:
    """The run so far: its health and that of its parts, counts, rates of the last seconds, and latency of the run."""
    backend = f"{totals.engine.get('backend', '')} {totals.engine.get('precision', '')}".strip()
    counts = {
        "captured": totals.captured,
        "published": totals.published,
        **{f"dropped {reason}": n for reason, n in totals.dropped.items()},
        **{f"fps {point}": float("nan") if rate is None else rate for point, rate in _rates(totals).items()},
        **{f"{name} state": part.state for name, part in health.parts.items()},
        "reconnects": health.reconnects,
        "last_error": health.last_error,
        **{f"{sink} {what}": n for sink, counts in totals.sinks.items() for what, n in counts.items()},
    }
    latency = {
        f"{stage} {figure}": value
        for stage, figures in totals.latency.summary().items()
        for figure, value in figures.items()
    }
    said = f"{health.state} for {health.seconds():.0f} s: {health.reason}" if health.reason else health.state
    return _diagnostics(
        wall_ns,
        [
            _status("drivenet: node", backend, counts, _level(health), said),
            _status("drivenet: latency in ms", backend, latency),
            _status("drivenet: engine", backend, totals.engine),
        ],
    )


def event_diagnostics(event: Event, wall_ns: int) -> Message:
    """Something that happened, as a status of its own."""
    level = {"warning": WARN, "error": ERROR}.get(event.severity, OK)
    values = {"code": event.code, "source_id": event.source_id}
    return _diagnostics(wall_ns, [_status("drivenet: event", "", values, level, event.text)])


def _level(health: Health) -> int:
    if health.state in SILENT:
        return ERROR
    return WARN if health.state in ("degraded", "suspect") else OK


def _rates(totals: Totals) -> dict[str, float | None]:
    rates: dict[str, float | None] = totals.live.get("fps", totals.fps)
    return rates


def _diagnostics(wall_ns: int, statuses: list[Fields]) -> Message:
    return Message("diagnostic_msgs/DiagnosticArray", {"header": header(wall_ns), "status": statuses})


def _status(name: str, hardware: str, values: dict[str, Any], level: int = OK, message: str = "") -> Fields:
    pairs = [{"key": k, "value": f"{v:.6g}" if isinstance(v, float) else str(v)} for k, v in values.items()]
    return {"level": level, "name": name, "message": message, "hardware_id": hardware, "values": pairs}


def _box(thing: Thing, labels: LabelSet, at: Fields, frame_width: int) -> Fields:
    x, y, w, h = thing.box
    corners = ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
    return {
        "timestamp": at, "type": _LINE_LOOP, "points": [{"x": float(px), "y": float(py)} for px, py in corners],
        "outline_color": _colour(thing.cls, labels), "outline_colors": [], "fill_color": _CLEAR,
        "thickness": max(1.0, frame_width / 640),
    }  # fmt: skip


def _label(thing: Thing, labels: LabelSet, at: Fields, frame_width: int) -> Fields:
    x, y, _, _ = thing.box
    return {
        "timestamp": at, "position": {"x": float(x), "y": float(y)}, "text": f"{thing.name} {thing.area:.1%}",
        "font_size": max(8.0, frame_width / 64), "text_color": _WHITE,
        "background_color": _colour(thing.cls, labels),
    }  # fmt: skip


def _colour(cls: str, labels: LabelSet) -> Fields:
    r, g, b = (value / 255 for value in labels.palette[labels.id_of(cls)])
    return {"r": r, "g": g, "b": b, "a": 1.0}
