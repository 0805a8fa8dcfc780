"""Pictures out of a container, decoded by PyAV: what files and network streams share."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from typing import Any

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from drivenet.errors import NoVideoError, SourceError, SourceLostError
from drivenet.frame import Frame
from drivenet.latency import now_ns
from drivenet.sources.base import Source, SourceStatus
from drivenet.sources.choice import video_stream
from drivenet.sources.decoded import Converter, DecodedPicture
from drivenet.sources.losses import SKIP, Losses
from drivenet.sources.turning import UPRIGHT, turn_at
from drivenet.sources.waiting import Waiting, is_silent

#: Arguments of ``av.open``: tags that are no UTF-8 end nothing. From 19 on PyAV reads them without being told.
READING: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
#: A recording whose times may leap, and that stands still for longer than this and than usual, was put together from
#: several.
_LEAP_S = 10.0
#: No recording stands still for longer than a year: its clock was set while it was made.
_YEAR_S = 366 * 86400.0
#: FFmpeg's flag of formats whose times may leap (AVFMT_TS_DISCONT).
_TS_DISCONT = 0x0200
#: Formats of playlists.
PLAYLISTS = ("hls", "dash")


class ContainerSource(Source):
    """One video stream of a container: turned and mirrored as its mark says, pixels taken as square.

    The first picture is decoded on opening, so that whatever holds none fails there. PyAV cannot be closed
    under a running read, so ``close`` from another thread takes effect at the next packet.

    Args:
        name: how messages call the source; without credentials.
        container: what was opened; belongs to the source from here on.
        threads: how the decoder uses threads: ``AUTO`` holds pictures back for speed, ``SLICE`` does not.
        forgiven: how many packets in a row may fail to decode once pictures have come; None for any number.
        wanted: number of the video stream to show; None for the largest.

    Raises:
        NoVideoError: if there is no picture in it.
        SourceError: if it fails before its first picture.
    """

    #: How the address of such a source names another of its video streams.
    names_stream = "?stream=N"

    def __init__(
        self, name: str, container: InputContainer, threads: str, forgiven: int | None, wanted: int | None = None
    ) -> None:
        self.name = name
        self.losses = Losses(name)
        self._container, self._forgiven = container, forgiven
        self._lock = threading.Lock()
        self._reading = self._closed = self._torn = False
        self._turn = UPRIGHT
        self._converter = Converter(name)
        #: Pixel format and matrix of the newest picture: known to be convertible.
        self._colours: tuple[str, int] | None = None
        #: When the newest picture is shown, as its stamp says (s), and counted from the first one (ns).
        self._stamp, self._media_ns, self._step = 0.0, 0, 0.0
        #: How long the newest picture is shown (s), where the file says so.
        self._lasts = 0.0
        #: When the newest picture was decoded, 0 before the first.
        self._picture_ns = 0
        try:
            self._stream = video_stream(name, container, wanted, self.names_stream)
            self._stream.thread_type = threads
            self._spare_others()
            base = self._stream.time_base
            self._base = (base.numerator, base.denominator) if base else None
            self._pictures = self._decode()
            first = self._first_picture()
            self._stamp, self._lasts = self._shown_at(first) or 0.0, self._seconds(first.duration) or 0.0
            self._first = self._decoded(first)
        except BaseException:
            container.close()
            raise
        self.size = self._first.size
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else 0.0

    def __iter__(self) -> Iterator[Frame]:
        with self._lock:
            if self._closed:
                return
            self._reading = True
        try:
            yield from self._frames()
        finally:
            with self._lock:
                self._reading, self._closed = False, True
                self._release()

    def status(self) -> SourceStatus:
        """What it lost so far."""
        return SourceStatus(lost_frames=self.losses.damaged, missing_s=self.losses.missing_s)

    def close(self) -> None:
        """Release the container, or have the running iteration do it."""
        with self._lock:
            self._closed = True
            if not self._reading:
                self._release()

    def _release(self) -> None:
        self._pictures.close()
        self._container.close()

    def _frames(self) -> Iterator[Frame]:
        decoded: DecodedPicture | None = self._first
        index = 0
        while decoded is not None and not self._closed:
            yield Frame(decoded, index, now_ns(), None if self.live else self._media_ns)
            index += 1
            try:
                picture = next(self._pictures, None)
            except av.error.FFmpegError as error:
                self._failed(error)
                cure = SKIP if isinstance(error, av.error.InvalidDataError) and not self.live else ""
                raise SourceLostError(
                    f"{self.name} failed after {index} frames: {self._why(error)}", cure=cure
                ) from None
            decoded = None
            if picture is not None:
                decoded = self._decoded(picture)
                self._pass_time(picture)
        if not self._closed:
            self._check_end(index)

    def _pass_time(self, picture: VideoFrame) -> None:
        """Go on to when this picture is shown; where its stamp says nothing, or leaps, by a frame."""
        step, at, self._lasts = 0.0, self._shown_at(picture), self._seconds(picture.duration) or 0.0
        if at is not None:
            step, self._stamp = at - self._stamp, at
        if not 0 < step < self._longest_step():
            step = 1 / self.fps if self.fps else 0.0
        self._step = step
        self._media_ns += round(1e9 * step)

    def _longest_step(self) -> float:
        """What is more than that is no pause, in seconds: only some formats can be put together from several files."""
        if not self._container.format.flags & _TS_DISCONT:
            return _YEAR_S
        return max(_LEAP_S, 3 * self._step)

    def _shown_at(self, picture: VideoFrame) -> float | None:
        """Its stamp in seconds."""
        return self._seconds(picture.pts)

    def _seconds(self, ticks: int | None) -> float | None:
        """Of the stream's time base; the picture's own is missing in those that the decoder held back."""
        return None if ticks is None or self._base is None else ticks * self._base[0] / self._base[1]

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """The packets of the stream, as they come."""
        raise NotImplementedError

    def _whole_packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets with content. A broken one counts as torn off, and stays out, only if nothing follows it."""
        broken: Packet[VideoStream] | None = None
        for packet in self._packets():
            if not packet.size:
                continue
            if broken is not None:
                yield broken
            broken = packet if packet.is_corrupt else None
            if broken is None:
                yield packet
        self._torn = broken is not None

    def _check_end(self, frames: int) -> None:
        """Raise SourceLostError if the source should not have ended after so many frames."""
        if self._torn:
            raise SourceLostError(f"{self.name} is cut short after {frames} frames", cure="copy or record it again")

    def _failed(self, error: av.error.FFmpegError) -> None:
        """Take note of a read or decode that failed."""

    def _why(self, error: av.error.FFmpegError) -> str:
        """FFmpeg's own words; never the exception's text, which holds the address with its credentials."""
        return (error.strerror or "unknown error").lower()

    def _spare_others(self) -> None:
        """Have streams that nobody looks at neither decoded nor, from a playlist of several qualities, loaded."""
        for other in self._container.streams:
            if other is not self._stream and (other.type == "video" or self._container.format.name in PLAYLISTS):
                other.discard = Discard.all

    def _decode(self) -> Generator[VideoFrame, None, None]:
        """Pictures in the order they are shown, and at the end those still inside the decoder."""
        failed, waiting = 0, Waiting()
        for packet in self._whole_packets():
            if self._closed:
                return
            waiting.sent(packet)
            try:
                pictures = self._stream.decode(packet)
                failed = 0
            except av.error.InvalidDataError:
                failed += 1
                waiting.failed(packet.pts)
                if not self._forgives(failed):
                    raise
                continue
            yield from self._counted(pictures, waiting)
        yield from self._counted(self._stream.decode(None), waiting)
        self._left_out(waiting.left())

    def _forgives(self, in_a_row: int) -> bool:
        """Whether to go on after a packet that failed, which is then counted.

        Whoever joins in mid-stream first meets pictures that refer to ones before: those are nobody's loss.
        """
        if self._picture_ns and self._forgiven is not None and in_a_row > self._forgiven:
            return False
        if self._picture_ns:
            self.losses.picture("damaged")
        return True

    def _counted(self, pictures: list[VideoFrame], waiting: Waiting) -> Iterator[VideoFrame]:
        for picture in pictures:
            self._left_out(waiting.came(picture.pts))
            self._picture_ns = now_ns()
            yield picture

    def _left_out(self, pictures: int) -> None:
        """Pictures that the decoder never gave, which some decoders do not call an error."""
        if not pictures or not is_silent(self._stream):
            return
        if self._forgiven == 0:
            raise SourceLostError(f"{self.name} lost {pictures} pictures on the way", cure=SKIP)
        self.losses.picture("not decoded", pictures)

    def _first_picture(self) -> VideoFrame:
        try:
            picture = next(self._pictures, None)
        except av.error.FFmpegError as error:
            kind = NoVideoError if isinstance(error, av.error.InvalidDataError) else SourceError
            raise kind(f"{self.name} failed before its first picture: {self._why(error)}") from None
        if picture is None:
            raise NoVideoError(f"{self.name} holds no picture that can be decoded", "at least one")
        return picture

    def _decoded(self, picture: VideoFrame) -> DecodedPicture:
        """The picture as it is shown, turned and mirrored as its mark says."""
        self._turn = turn_at(picture, self._turn)
        decoded = DecodedPicture(picture, self._turn, self._converter)
        colours = picture.format.name, picture.colorspace
        if colours != self._colours:
            decoded.whole()  # fails here, if at all, and not where somebody looks at it
            self._colours = colours
        return decoded
