"""An MCAP file as ROS 2 records them, for Foxglove and rosbag2; whole also after the node was killed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from drivenet.errors import SinkError
from drivenet.frame import Frame
from drivenet.health import Event, Health
from drivenet.palette_png import encode_palette_png
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sinks.cdr import encode
from drivenet.sinks.clock import reached
from drivenet.sinks.extras import need
from drivenet.sinks.jpeg import encode_jpeg
from drivenet.sinks.recording import RecordingFiles, RecordingSession
from drivenet.sinks.recording.files import failure
from drivenet.sinks.recording.synced_file import SyncedFile
from drivenet.sinks.ros_messages import (
    Message,
    box_annotations,
    class_image,
    compressed_image,
    detections,
    event_diagnostics,
    frame_diagnostics,
    label_info,
    node_diagnostics,
)
from drivenet.sinks.ros_types import schema_text
from drivenet.wall_clock import WALL

if TYPE_CHECKING:
    from mcap.writer import Writer

CAMERA = "/drivenet/camera/compressed"
CLASS_MAP = "/drivenet/class_map"
CLASS_COLOURS = "/drivenet/class_colours/compressed"
LABELS = "/drivenet/label_info"
ANNOTATIONS = "/drivenet/annotations"
THINGS = "/drivenet/things"
FRAME = "/drivenet/frame"
DIAGNOSTICS = "/diagnostics"

_QUALITY = 90
#: Messages are written in chunks of about this size, or of what comes between two status reports.
_CHUNK_BYTES = 1 << 20


class McapSink(Sink):
    """Records camera, class ids, boxes and figures of every result, and the run's counts twice a second.

    Of a live source headers carry the capture time and log times the time of recording, both by the wall clock. Frames
    of a recorded source are as far apart as in its recording, in both. What was written before the last status report,
    about half a second ago at most, survives a kill, and what was synced, a second earlier, a power cut.

    Args:
        path: ``*.mcap``, made once the first frame is there; the next free name if it exists.
        session: what it shares with the run's other recordings: segments, a disk budget.

    Raises:
        UsageError: if the extra ``[robotics]`` is not installed.
        SinkError: if nothing can be written there.
    """

    name = "mcap"
    needs_view = False

    def __init__(self, path: Path, *, session: RecordingSession | None = None) -> None:
        need("mcap.writer", "an .mcap file", "robotics")
        session = session or RecordingSession()
        self._files = RecordingFiles(path, session)
        self.target = str(self._files.target)
        self._clock = WALL
        self._recording: _Recording | None = None
        self._failed = self._closed = False
        self._health = Health()
        self._totals = Totals()
        self._session = session
        #: What lies between the times of a recorded source and the wall clock, and the newest of its frames (ns).
        self._offset_ns: int | None = None
        self._newest_ns = 0

    def publish(self, result: Result) -> None:
        """Write one frame's messages."""
        if self._closed:
            raise SinkError(f"{self.target} is closed")
        try:
            self._turn_to_file_of(result)
            assert self._recording
            self._write(self._recording, self._messages(result))
        except (SinkError, OSError) as error:
            self._failed = True
            raise failure(Path(self.target), error) from error

    def _messages(self, result: Result) -> dict[str, Message]:
        """A frame's messages by topic; the first ones of a file are followed by what its ids mean."""
        at = self._moment(result.frame)
        messages = {
            CAMERA: compressed_image(encode_jpeg(result.frame.image, _QUALITY), "jpeg", at),
            CLASS_MAP: class_image(result, at),
            CLASS_COLOURS: compressed_image(
                encode_palette_png(result.classmap.ids, result.labels.rgb_table), "png", at
            ),
            ANNOTATIONS: box_annotations(result, at),
            THINGS: detections(result, at),
            FRAME: frame_diagnostics(reached(result), at),
        }
        if self._recording and not self._recording.has(LABELS):
            messages[LABELS] = label_info(result.labels, at)
        return messages

    def _moment(self, frame: Frame) -> int:
        """When a frame was, by the wall clock: a recorded one as long after the first as its recording shows it."""
        captured_ns = self._clock.at(frame.captured_ns)
        shown_ns = self._session.shown_ns(frame)
        if shown_ns is None:
            return captured_ns
        if self._offset_ns is None:
            self._offset_ns = captured_ns - shown_ns
        self._newest_ns = shown_ns + self._offset_ns
        return self._newest_ns

    def _now(self) -> int:
        """By the wall clock; of a recorded source when its newest frame was."""
        return self._newest_ns or self._clock.now()

    def health(self, health: Health) -> None:
        """Have the next report say how the run is."""
        self._health = health

    def event(self, event: Event) -> None:
        """Record what happened, once there is a recording."""
        if not self._recording or event.severity == "debug":
            return
        try:
            self._write(
                self._recording, {DIAGNOSTICS: event_diagnostics(event, self._newest_ns or self._clock.at(event.at_ns))}
            )
        except (SinkError, OSError) as error:
            self._failed = True
            raise failure(Path(self.target), error) from error

    def status(self, totals: Totals) -> None:
        """Write the counts so far, and all that waits in memory."""
        self._totals = totals
        if self._recording:
            try:
                self._report(self._recording, totals)
                if self._files.is_due_now(self._health):
                    self._turn(None)
            except (SinkError, OSError) as error:
                self._failed = True
                raise failure(Path(self.target), error) from error

    def close(self, totals: Totals) -> None:
        """Write the final counts and the index; raises no second error after a failed write."""
        self._closed = True
        try:
            self._finish(totals)
        except (SinkError, OSError) as error:
            if not self._failed:
                raise failure(Path(self.target), error) from error

    def _turn_to_file_of(self, result: Result) -> None:
        if self._files.is_due(result):
            self._turn(result)

    def _turn(self, result: Result | None) -> None:
        """Go on in another file, that of a result or of what is recorded while nothing new comes."""
        self._finish(self._totals)
        file = self._files.open(result)
        self.target = str(file.path)
        self._recording = _Recording(file)

    def _finish(self, totals: Totals) -> None:
        """Complete the file that is open, if one is."""
        recording, self._recording = self._recording, None
        if not recording:
            return
        try:
            if not self._failed:
                self._report(recording, totals)
                recording.finish()
        finally:
            recording.close()
            self._files.closed()

    def _report(self, recording: _Recording, totals: Totals) -> None:
        self._write(recording, {DIAGNOSTICS: node_diagnostics(totals, self._now(), self._health)})
        recording.flush()

    def _write(self, recording: _Recording, messages: dict[str, Message]) -> None:
        now = self._now()
        for topic, message in messages.items():
            recording.add(topic, message, now)


class _Recording:
    """An open MCAP file. All methods raise OSError and SinkError."""

    def __init__(self, file: SyncedFile) -> None:
        from mcap.writer import Writer

        self._file = file
        self._writer: Writer = Writer(cast("BinaryIO", file), chunk_size=_CHUNK_BYTES)
        self._channels: dict[str, int] = {}
        self._writer.start("ros2", library="drivenet")

    def has(self, topic: str) -> bool:
        """Whether a message of that topic was added."""
        return topic in self._channels

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

    def close(self) -> None:
        """Sync and release the file."""
        self._file.close()

    def _channel(self, topic: str, kind: str) -> int:
        package, name = kind.split("/")
        schema: int = self._writer.register_schema(f"{package}/msg/{name}", "ros2msg", schema_text(kind).encode())
        # the profile asks for the key; rosbag2 takes an empty value for its defaults, and every release reads it
        return self._writer.register_channel(topic, "cdr", schema, {"offered_qos_profiles": ""})
