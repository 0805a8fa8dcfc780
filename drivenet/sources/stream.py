"""Network streams."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Iterator
from typing import Any

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from drivenet.address import mask_uri, scheme_of
from drivenet.errors import NoVideoError, SourceError, SourceLostError
from drivenet.latency import now_ns
from drivenet.sources.connect import BARE_MJPEG, connect, reason_of
from drivenet.sources.container import PLAYLISTS, ContainerSource
from drivenet.sources.options import Options
from drivenet.sources.uri import stream_of_fragment

# pictures of a stream that is joined between two key frames come with the next one
_FIRST_PICTURE_TIMEOUTS = 6
_FORGIVEN_PACKETS = 100
#: Formats of cameras, which may state a length that they do not mean.
_CAMERAS = ("mpjpeg", BARE_MJPEG)
#: A step in the times of a playlist's packets that is more than a frame that came late.
_GAP_S = 0.4
#: A live stream that states more frames a second than this means the ticks of its clock, or nothing.
_MOST_FPS = 240.0
#: What the newest picture counts for in the rate of a stream that states none.
_SHARE = 0.1
#: Servers of live streams begin with some seconds that they kept.
_A_WHILE_S = 10.0


class NetworkStream(ContainerSource):
    """A stream read from the network, decoded without holding pictures back.

    It is live unless it came over HTTP and states its duration or its size. A live stream never ends by itself: its
    end counts as lost. What comes over HTTP and states neither may be a recording all the same: it
    :attr:`begins` alike each time. A blocked read ends after the timeout at the latest; ``open_source`` wraps streams
    in :class:`~drivenet.sources.detached.Detached`, which ends at once.

    Args:
        uri: address with one of the schemes rtsp, rtsps, rtmp, http, https, udp, tcp; may hold credentials.
        timeout_s: how long opening may take and how long the stream may then stay silent.
        damaged: what becomes of damaged pictures in a recording; a live stream always goes on.
        stream: number of the video stream to show; None for the largest.
        form: FFmpeg's name of the format; None to find out.

    Raises:
        UsageError: for another scheme.
        SourceNotFoundError: if nothing answers there.
        NoVideoError: if what answers holds no picture.
        SourceError: if it refuses or fails otherwise.
    """

    names_stream = "#stream=N"

    def __init__(
        self, uri: str, timeout_s: float = 5.0, *, damaged: str = "stop", stream: int | None = None,
        form: str | None = None,
    ) -> None:  # fmt: skip
        self._timeout_s = timeout_s
        self._since_ns = now_ns()
        container = connect(uri, timeout_s, form)
        over_http = scheme_of(uri) in ("http", "https")
        self.live = not over_http or _may_go_on(container)
        skips = self.live or damaged == "skip"
        forgiven = (_FORGIVEN_PACKETS if self.live else None) if skips else 0
        self._due = 0.0
        super().__init__(mask_uri(uri), container, "SLICE", forgiven, stream)
        self._measures = self.live and not 0 < self.fps <= _MOST_FPS
        self._usual_s = 0.0
        if self._measures:
            self.fps = 0.0
        if over_http and self.live and container.format.name not in (*PLAYLISTS, *_CAMERAS):
            self.begins = self._stamp, zlib.crc32(self._first.whole().tobytes())

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        for packet in self._container.demux():
            self._check_stalled()
            if packet.stream_index == self._stream.index:
                self._note_gap(packet)
                yield packet  # type: ignore[misc]  # the index says that it is one of the video stream

    def _note_gap(self, packet: Packet[Any]) -> None:
        """FFmpeg passes over the pieces of a playlist that it cannot load, without a word that reaches us."""
        base = packet.time_base
        if self._container.format.name not in PLAYLISTS or packet.dts is None or base is None:
            return
        at = float(packet.dts * base)
        if self._due and at - self._due > _GAP_S:
            self.losses.gap(self._due, at - self._due)
        self._due = at + float((packet.duration or 0) * base)

    def _check_stalled(self) -> None:
        """Sound may go on while the pictures have stopped; PyAV's timeout does not notice."""
        limit = self._timeout_s if self._picture_ns else self._timeout_s * _FIRST_PICTURE_TIMEOUTS
        silent = (now_ns() - (self._picture_ns or self._since_ns)) / 1e9
        if silent <= limit:
            return
        if not self._picture_ns:
            raise NoVideoError(f"{self.name} gave no picture for {silent:.0f} s")
        raise SourceLostError(f"{self.name} gave no picture for {silent:.0f} s")

    def _pass_time(self, picture: VideoFrame) -> None:
        """As of every container; the rate of a live stream that states none is that of its pictures so far."""
        super()._pass_time(picture)
        if self._measures and self._step > 0:
            self._usual_s += (_SHARE if self._usual_s else 1.0) * (self._step - self._usual_s)
            self.fps = 1 / self._usual_s

    def _check_end(self, frames: int) -> None:
        self.ended = not self._in_real_time()
        if self.live:
            raise SourceLostError(f"{self.name} ended after {frames} frames", "a live stream, which does not end")
        super()._check_end(frames)

    def _failed(self, error: av.error.FFmpegError) -> None:
        # what has no stated length and simply ends is for FFmpeg a peer that hung up
        if error.errno == errno.EIO and self.begins is not None:
            self.ended = not self._in_real_time()

    def _in_real_time(self) -> bool:
        """Whether it went on for a while and gave its pictures no faster than they are shown, as a camera does."""
        wall_s = (now_ns() - self._since_ns) / 1e9
        return wall_s > _A_WHILE_S and self._media_ns / 1e9 < 1.5 * wall_s

    def _why(self, error: av.error.FFmpegError) -> str:
        # FFmpeg's word for a peer that hung up
        return "connection lost" if error.errno == errno.EIO else reason_of(error, self._timeout_s)


def open_stream(uri: str, options: Options) -> NetworkStream:
    """Open the network stream of that address, which ``#stream=N`` may follow."""
    uri, options = stream_of_fragment(uri, options)
    settings: dict[str, Any] = {"damaged": options.damaged, "stream": options.stream}
    try:
        return NetworkStream(uri, options.timeout_s, **settings)
    except NoVideoError:
        if scheme_of(uri) not in ("http", "https"):
            raise
        try:
            # cameras send pictures whose parts say neither what they are nor where they end
            return NetworkStream(uri, options.timeout_s, **settings, form=BARE_MJPEG)
        except SourceError:
            pass
        raise


def _may_go_on(container: InputContainer) -> bool:
    """Whether what came over HTTP may be live, as nothing says where it ends."""
    name = container.format.name
    if name in _CAMERAS:
        return True
    return not (container.duration or (name not in PLAYLISTS and container.size > 0))
