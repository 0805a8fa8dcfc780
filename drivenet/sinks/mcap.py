"""An MCAP file as ROS 2 records them, for Foxglove and rosbag2; whole also after the node was killed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from drivenet.errors import SinkError
from drivenet.frame import Image
from drivenet.palette_png import encode_palette_png
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sinks.cdr import encode
from drivenet.sinks.clock import WallClock, reached
from drivenet.sinks.extras import need
from drivenet.sinks.jpeg import encode_jpeg
from drivenet.sinks.ros_messages import (
    Message,
    box_annotations,
    class_image,
    compressed_image,
    frame_diagnostics,
    label_info,
    node_diagnostics,
)
from drivenet.sinks.ros_types import schema_text
from drivenet.sinks.target import cannot_write, check_kept, check_writable

if TYPE_CHECKING:
    from mcap.writer import Writer

CAMERA = "/drivenet/camera/compressed"
CLASS_MAP = "/drivenet/class_map"
CLASS_COLOURS = "/drivenet/class_colours/compressed"
LABELS = "/drivenet/label_info"
ANNOTATIONS = "/drivenet/annotations"
FRAME = "/drivenet/frame"
DIAGNOSTICS = "/diagnostics"

_QUALITY = 90
#: Messages are written in chunks of about this size, or of what comes between two status reports.
_CHUNK_BYTES = 1 << 20


class McapSink(Sink):
    """Records camera, class ids, boxes and figures of every result, and the run's counts twice a second.

    Headers carry the capture time and log times the time of recording, both by the wall clock: the monotonic one
    plus an offset that is taken once, when the sink is made. What was written before the last status report, about
    half a second ago at most, survives a kill.

    Args:
        path: ``*.mcap``, written over if it exists, once the first frame is there.

    Raises:
        UsageError: if the extra ``[robotics]`` is not installed.
        SinkError: if nothing can be written there.
    """

    name = "mcap"
    needs_view = False

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self.target = str(path)
        need("mcap.writer", "an .mcap file", "robotics")
        check_writable(self._path)
        self._clock = WallClock()
        self._recording: _Recording | None = None
        self._failed = self._closed = False
        self._lost_s = 0.0

    def publish(self, result: Result) -> None:
        """Write one frame's messages."""
        if self._closed:
            raise SinkError(f"{self.target} is closed")
        self._lost_s = 0.0
        at = self._clock.at(result.frame.captured_ns)
        messages = {
            CAMERA: compressed_image(encode_jpeg(result.frame.image, _QUALITY), "jpeg", at),
            CLASS_MAP: class_image(result, at),
            CLASS_COLOURS: compressed_image(
                encode_palette_png(result.classmap.ids, result.labels.rgb_table), "png", at
            ),
            ANNOTATIONS: box_annotations(result, at),
            FRAME: frame_diagnostics(reached(result, self.name), at),
        }
        if self._recording is None:
            messages[LABELS] = label_info(result.labels, at)
        self._write(messages)

    def lost(self, view: Image, seconds: float) -> None:
        """Have the next report say so."""
        self._lost_s = seconds

    def status(self, totals: Totals) -> None:
        """Write the counts so far, and all that waits in memory."""
        if self._recording:
            self._report(totals)

    def close(self, totals: Totals) -> None:
        """Write the final counts and the index; raises no second error after a failed write."""
        self._closed = True
        if not self._recording:
            return
        try:
            if not self._failed:
                self._report(totals)
                self._recording.finish()
                check_kept(self._path, self._recording.opened)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        finally:
            self._recording.close()
            self._recording = None

    def _report(self, totals: Totals) -> None:
        self._write({DIAGNOSTICS: node_diagnostics(totals, self._clock.now(), self._lost_s)}, flush=True)

    def _write(self, messages: dict[str, Message], flush: bool = False) -> None:
        now = self._clock.now()
        try:
            self._recording = self._recording or _Recording(self._path)
            for topic, message in messages.items():
                self._recording.add(topic, message, now)
            if flush:
                self._recording.flush()
        except OSError as error:
            self._failed = True
            raise cannot_write(self._path, error) from error


class _Recording:
    """An open MCAP file. All methods raise OSError."""

    def __init__(self, path: Path) -> None:
        from mcap.writer import Writer

        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self.opened = os.fstat(self._file.fileno())
        self._writer: Writer = Writer(self._file, chunk_size=_CHUNK_BYTES)
        self._channels: dict[str, int] = {}
        self._writer.start("ros2", library="drivenet")

    def add(self, topic: str, message: Message, now: int) -> None:
        """Append a message, recorded ``now`` in nanoseconds since 1970."""
        if topic not in self._channels:
            self._channels[topic] = self._channel(topic, message.kind)
        data = encode(message.kind, message.fields)
        self._writer.add_message(self._channels[topic], log_time=now, publish_time=now, data=data)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._writer.flush()  # type: ignore[no-untyped-call]

    def finish(self) -> None:
        """Write the index."""
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.flush()

    def close(self) -> None:
        """Release the file; what a full disk did not take is gone."""
        with suppress(OSError):
            self._file.close()

    def _channel(self, topic: str, kind: str) -> int:
        package, name = kind.split("/")
        schema: int = self._writer.register_schema(f"{package}/msg/{name}", "ros2msg", schema_text(kind).encode())
        # the profile asks for the key; rosbag2 takes an empty value for its defaults, and every release reads it
        return self._writer.register_channel(topic, "cdr", schema, {"offered_qos_profiles": ""})
