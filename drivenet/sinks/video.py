"""A video file: H.264 in fragments, so that a run that is killed leaves what it recorded so far."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from drivenet.errors import SinkError
from drivenet.frame import Frame, Image
from drivenet.health import Health
from drivenet.latency import now_ns
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink, view_of
from drivenet.sinks.i420 import BT601, LIMITED_RANGE, i420
from drivenet.sinks.recording import RecordingFiles, RecordingSession
from drivenet.sinks.recording.files import failure
from drivenet.sinks.recording.synced_file import SyncedFile


@dataclass(frozen=True)
class Coding:
    """How pictures become a file, in FFmpeg's words.

    Args:
        muxer, codec, pixels: names of the container, the encoder and its pixel format.
        options: of the encoder.
        live: of the encoder as well, for live sources.
        form: of the container.
    """

    muxer: str
    codec: str
    pixels: str
    options: dict[str, str]
    live: dict[str, str]
    form: dict[str, str]


_NAMES = {"libx264": "H.264", "prores_ks": "ProRes", "libvpx-vp9": "VP9"}
#: Ticks a second, and the fewest between two frames (1 ms, what Matroska can tell apart).
_TICKS, _LEAST_STEP = 90_000, 90
#: A picture that is shown as near as this (1 ms, and a share of a frame) to the time that a steady rate would give it
#: is shown then: its container rounds times.
_ROUNDED, _JITTER = 90, 0.1
#: The most ticks between two pictures (6 h): MP4 has 32 bits for it. In a longer pause the last one is shown again.
_MOST_STEP = 6 * 3600 * _TICKS
#: A live recording states no rate, neither in the container nor in the stream: players would believe it. x264 wants one
#: for its level, or takes the ticks for one; and the last frame is shown for so long.
_LIVE_RATE = 30
_LIVE_X264 = {"x264-params": f"fps={_LIVE_RATE}:force-cfr=0"}
#: At 720p 5 ms a frame; veryfast takes 13 for five sixths of the size. Without look-ahead no frame waits in memory, but
#: the newest of a live recording.
_X264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20"}
CODINGS = {
    ".mp4": Coding("mp4", "libx264", "yuv420p", _X264, _LIVE_X264,
                   {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}),
    ".mkv": Coding("matroska", "libx264", "yuv420p", _X264, _LIVE_X264, {"cluster_time_limit": "500"}),
}  # fmt: skip


class VideoSink(Sink):
    """Records the view of every result.

    A recorded source (``fps`` > 0) keeps the times at which its recording shows its frames (``media_ns``), or if it has
    none its rate: frame n is shown at n / fps. A dropped frame leaves its predecessor standing. A live source (``fps``
    0) is recorded with its capture times, and while it is lost the marked view is recorded too. H.264 needs even sizes:
    an odd picture is widened by repeating its last column or row. All frames of a file have one size: another size goes
    to the next file.

    Args:
        path: ``*.mp4`` or ``*.mkv``, made once the first frame is there; the next free name if it exists.
        fps: frames a second, on average; 0 for live sources.
        session: what it shares with the run's other recordings: segments, a disk budget.

    Raises:
        SinkError: if nothing can be written there.
    """

    name = "video"
    #: By suffix.
    codings = CODINGS

    def __init__(self, path: Path, *, fps: float = 0.0, session: RecordingSession | None = None) -> None:
        self._coding = self.codings[Path(path).suffix.lower()]
        self._files = RecordingFiles(path, session or RecordingSession(fps=fps))
        self.target = str(self._files.target)
        # a rate beyond what time bases can tell is no rate to keep
        self._rate = _fraction(fps) if 0 < fps <= 1000 else Fraction(0)
        self._encoder: tuple[OutputContainer, VideoStream] | None = None
        self._size = (0, 0)
        self._origin = 0
        self._last_pts: int | None = None
        self._last_view: Image | None = None
        self._step = _LEAST_STEP
        self._file: SyncedFile | None = None
        self._failed = self._closed = False

    def publish(self, result: Result) -> None:
        """Encode one frame."""
        if self._closed:
            raise SinkError(f"{self.target} is closed")
        counted = self._rate and result.frame.media_ns is None
        self._step = round(_TICKS / self._rate) if counted else _LEAST_STEP
        view, at = self._picture(result), self._moment(result.frame)
        try:
            if self._files.is_due(result) or view.shape[:2] != self._size:
                self._finish()
                self._open(result, view, at)
            self._write(view, at)
        except (SinkError, av.FFmpegError, OSError) as error:
            self._failed = True
            raise failure(Path(self.target), error) from error

    def _picture(self, result: Result) -> Image:
        """What is recorded of a result, (H, W, C) uint8."""
        return view_of(result)

    def _planes(self, picture: Image) -> av.VideoFrame:
        """A picture in the encoder's pixel format, its sizes even."""
        planes = i420(picture)
        # the encoder copies them in any case; PyAV passes them on without a copy of its own if their rows are even
        frame = av.VideoFrame.from_ndarray if len(planes) % 2 else av.VideoFrame.from_numpy_buffer
        return frame(planes, format="yuv420p")

    def _moment(self, frame: Frame) -> int:
        """When a frame is shown, in ticks since nobody knows when."""
        if not self._rate:
            return _ticks(frame.captured_ns)
        if frame.media_ns is None:
            return round(frame.index * _TICKS / self._rate)
        steady = round(round(frame.media_ns * self._rate / 1_000_000_000) * _TICKS / self._rate)
        at = _ticks(frame.media_ns)
        return steady if abs(at - steady) <= min(_ROUNDED, _JITTER * _TICKS / self._rate) else at

    def marked(self, view: Image, health: Health) -> bool:
        """Record that nothing new comes of a live source; a recorded one has no time in which it could be."""
        if not self._encoder or self._rate or view.shape[:2] != self._size:
            return False
        at = _ticks(now_ns())
        try:
            if self._files.is_due_now(health):
                self._finish()
                self._open(None, view, at)
            self._write(view, at)
        except (SinkError, av.FFmpegError, OSError) as error:
            self._failed = True
            raise failure(Path(self.target), error) from error
        return True

    def close(self, totals: Totals) -> None:
        """Finish the file; a file without a frame is removed. Raises no second error after a failed write."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        """Finish the file."""
        try:
            self._finish()
        except (SinkError, av.FFmpegError, OSError) as error:
            if not self._failed:
                self._failed = True
                raise failure(Path(self.target), error) from error

    def _finish(self) -> None:
        """Complete the file that is open, if one is."""
        if not self._encoder or not self._file:
            return
        (container, stream), self._encoder = self._encoder, None
        file, self._file = self._file, None
        try:
            if self._last_pts is not None and not self._failed:
                self._mux(container, stream.encode(None))
            container.close()
        finally:
            (file.close if self._last_pts is not None else file.discard)()
            self._last_pts = self._last_view = None
            self._files.closed()

    def _write(self, view: Image, at: int) -> None:
        """Encode a picture at a moment, in ticks."""
        assert self._encoder
        container, stream = self._encoder
        pts = self._pts(at)
        while self._last_pts is not None and pts - self._last_pts > _MOST_STEP and self._last_view is not None:
            self._last_pts += _MOST_STEP
            self._mux(container, self._encode(stream, self._last_view, self._last_pts))
        self._mux(container, self._encode(stream, view, pts))
        self._last_pts, self._last_view = pts, view

    def _encode(self, stream: VideoStream, view: Image, pts: int) -> list[av.Packet[VideoStream]]:
        frame = self._planes(view)
        frame.pts, frame.time_base = pts, stream.codec_context.time_base
        try:
            return stream.encode(frame)
        except av.FFmpegError as error:
            self._failed = True
            size = f"{view.shape[1]}x{view.shape[0]}"
            name = _NAMES[self._coding.codec]
            cure = f"write pictures: {self._folder_cure()}"
            raise SinkError(f"{name} cannot hold a frame of {size}", cure=cure) from error

    def _mux(self, container: OutputContainer, packets: list[av.Packet[VideoStream]]) -> None:
        for packet in packets:
            # of the last: all others last until the next
            packet.duration = min(_MOST_STEP, round(_TICKS / (self._rate or _LIVE_RATE)))
            container.mux(packet)

    def _open(self, result: Result | None, view: Image, at: int) -> None:
        self._origin, self._size = at, view.shape[:2]
        self._file = self._files.open(result)
        self.target = str(self._file.path)
        try:
            self._encoder = self._encoder_to(self._file)
        except BaseException:  # an FFmpeg without the encoder
            self._file.discard()
            self._file = None
            self._files.closed()
            raise

    def _encoder_to(self, file: SyncedFile) -> tuple[OutputContainer, VideoStream]:
        coding = self._coding
        form = {**coding.form, "flush_packets": "1"}
        container = av.open(file, "w", format=coding.muxer, options=form)
        options = {**coding.options, **({} if self._rate else coding.live)}
        rate = self._rate or None  # PyAV 17 takes None for 24
        stream = cast("VideoStream", container.add_stream(coding.codec, rate=rate, options=options))
        stream.height, stream.width = (n + n % 2 for n in self._size)
        stream.pix_fmt = coding.pixels
        context = stream.codec_context
        context.framerate = self._rate
        context.time_base = Fraction(1, _TICKS)
        context.gop_size = max(1, round(self._rate or _LIVE_RATE))
        context.colorspace, context.color_range = BT601, LIMITED_RANGE
        return container, stream

    def _folder_cure(self) -> str:
        return f"--out {Path(self.target).with_suffix('')}/"

    def _pts(self, at: int) -> int:
        """Later than the frame before: by a frame where they are counted, else by what containers tell apart."""
        pts = at - self._origin
        return pts if self._last_pts is None else max(pts, self._last_pts + self._step)


def _fraction(fps: float) -> Fraction:
    """A rate that time bases can tell; one below one a second by its inverse, so that a picture a day is one."""
    return Fraction(fps).limit_denominator(1001) if fps >= 1 else 1 / Fraction(1 / fps).limit_denominator(1001)


def _ticks(moment_ns: int) -> int:
    return moment_ns * _TICKS // 1_000_000_000
