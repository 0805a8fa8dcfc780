"""Network streams."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from drivenet.address import mask_uri, scheme_of
from drivenet.errors import NoVideoError, SourceError, SourceLostError, SourceNotFoundError, UsageError, nearest
from drivenet.latency import now_ns
from drivenet.sources.container import READING, ContainerSource
from drivenet.sources.options import Options

# a playlist or redirect may lead only to what stands here: never to files of this machine
_HTTP = "http,https,httpproxy,tcp,tls,crypto,data"
_PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,srtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "http": _HTTP,
    "https": _HTTP,
    "udp": "udp",
    "tcp": "tcp",
}
_ABSENT = (
    av.error.ConnectionRefusedError,
    av.error.HTTPNotFoundError,
    av.error.FileNotFoundError,
    av.error.ProtocolNotFoundError,
)
_REFUSED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, av.error.PermissionError)
# pictures of a stream that is joined between two key frames come with the next one
_FIRST_PICTURE_TIMEOUTS = 6
_FORGIVEN_PACKETS = 100


class NetworkStream(ContainerSource):
    """A stream read from the network, decoded without holding pictures back.

    It is live unless it came over HTTP and states its duration. A live stream never ends by itself: its end
    counts as lost. A blocked read ends after the timeout at the latest; ``open_source`` wraps streams in
    :class:`~drivenet.sources.detached.Detached`, which ends at once.

    Args:
        uri: address with one of the schemes rtsp, rtsps, rtmp, http, https, udp, tcp; may hold credentials.
        timeout_s: how long opening may take and how long the stream may then stay silent.

    Raises:
        UsageError: for another scheme.
        SourceNotFoundError: if nothing answers there.
        NoVideoError: if what answers holds no picture.
        SourceError: if it refuses or fails otherwise.
    """

    def __init__(self, uri: str, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s
        self._since_ns = now_ns()
        container = _open(uri, timeout_s)
        self.live = not (scheme_of(uri) in ("http", "https") and container.duration)
        super().__init__(mask_uri(uri), container, "SLICE", _FORGIVEN_PACKETS if self.live else 0)

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        for packet in self._container.demux():
            self._check_stalled()
            if packet.stream_index == self._stream.index:
                yield packet  # type: ignore[misc]  # the index says that it is one of the video stream

    def _check_stalled(self) -> None:
        """Sound may go on while the pictures have stopped; PyAV's timeout does not notice."""
        limit = self._timeout_s if self._picture_ns else self._timeout_s * _FIRST_PICTURE_TIMEOUTS
        silent = (now_ns() - (self._picture_ns or self._since_ns)) / 1e9
        if silent <= limit:
            return
        if not self._picture_ns:
            raise NoVideoError(f"{self.name} gave no picture for {silent:.0f} s")
        raise SourceLostError(f"{self.name} gave no picture for {silent:.0f} s")

    def _check_end(self, frames: int) -> None:
        if self.live:
            raise SourceLostError(f"{self.name} ended after {frames} frames", "a live stream, which does not end")
        super()._check_end(frames)

    def _why(self, error: av.error.FFmpegError) -> str:
        # FFmpeg's word for a peer that hung up
        return "connection lost" if error.errno == errno.EIO else _reason(error, self._timeout_s)


def open_stream(uri: str, options: Options) -> NetworkStream:
    """Open the network stream of that address."""
    return NetworkStream(uri, options.timeout_s)


def _open(uri: str, timeout_s: float) -> InputContainer:
    name, scheme = mask_uri(uri), scheme_of(uri)
    if scheme not in _PROTOCOLS:
        raise UsageError(f"{name} is no network stream", cure=nearest(scheme, _PROTOCOLS))
    # "fflags=nobuffer" would throw the probed packets away, and with them the first key frame
    options = {"protocol_whitelist": _PROTOCOLS[scheme]}
    if scheme in ("rtsp", "rtsps"):
        options["rtsp_transport"] = "tcp"
    try:
        opened: InputContainer = av.open(uri, "r", options=options, timeout=(timeout_s, timeout_s), **READING)
        return opened
    except _REFUSED as error:
        why = _reason(error, timeout_s)
        raise SourceError(f"{name} refuses: {why}", cure="check user and password in the address") from None
    except _ABSENT as error:
        why = _reason(error, timeout_s)
        raise SourceNotFoundError(f"nothing at {name}: {why}", cure="check host, port and path") from None
    except (av.error.InvalidDataError, av.error.EOFError):
        raise NoVideoError(f"{name} answers with no video", "a video stream", "check the path") from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        why = _reason(error, timeout_s)
        raise SourceError(f"{name} cannot be opened: {why}", cure="check that the machine is reachable") from None


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, av.error.ExitError):
        return f"no answer for {timeout_s:g} s"
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
