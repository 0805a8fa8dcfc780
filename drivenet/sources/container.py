"""Pictures out of a container, decoded by PyAV: what files and network streams share."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from drivenet.errors import NoVideoError, SourceError, SourceLostError
from drivenet.frame import Frame, Image
from drivenet.latency import now_ns
from drivenet.sources.base import Source

# quarter turns counter-clockwise -> what OpenCV calls them
_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


class ContainerSource(Source):
    """One video stream of a container: turned upright by its rotation mark, pixels taken as square.

    The first picture is decoded on opening, so that whatever holds none fails there. PyAV cannot be closed
    under a running read, so ``close`` from another thread takes effect at the next packet.

    Args:
        name: how messages call the source; without credentials.
        container: what was opened; belongs to the source from here on.
        threads: how the decoder uses threads: ``AUTO`` holds pictures back for speed, ``SLICE`` does not.
        forgiven: how many packets in a row may fail to decode once pictures have come.

    Raises:
        NoVideoError: if there is no picture in it.
        SourceError: if it fails before its first picture.
    """

    def __init__(self, name: str, container: InputContainer, threads: str, forgiven: int) -> None:
        self.name = name
        self._container, self._forgiven = container, forgiven
        self._lock = threading.Lock()
        self._reading = self._closed = self._torn = False
        #: When the newest picture was decoded, 0 before the first.
        self._picture_ns = 0
        try:
            self._stream = self._video_stream(threads)
            self._pictures = self._decode()
            self._first = self._first_picture()
        except BaseException:
            container.close()
            raise
        self.size = _upright_size(self._first)
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
        picture: VideoFrame | None = self._first
        index = 0
        while picture is not None and not self._closed:
            image = _upright_image(picture)
            yield Frame(image, index, now_ns())
            index += 1
            try:
                picture = next(self._pictures, None)
            except av.error.FFmpegError as error:
                raise SourceLostError(f"{self.name} failed after {index} frames: {self._why(error)}") from None
        if not self._closed:
            self._check_end(index)

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

    def _why(self, error: av.error.FFmpegError) -> str:
        """FFmpeg's own words; never the exception's text, which holds the address with its credentials."""
        return (error.strerror or "unknown error").lower()

    def _video_stream(self, threads: str) -> VideoStream:
        """The stream to show; the cover picture of a song is none."""
        streams = self._container.streams
        videos = [s for s in streams.video if not s.disposition & Disposition.attached_pic]
        if not videos:
            what = "sound but no video" if streams.audio else "no video"
            raise NoVideoError(f"{self.name} holds {what}", "a video stream", "name a file or stream with pictures")
        best = streams.best("video")
        stream = next((s for s in videos if s is best), videos[0])
        if stream.codec_context is None:
            raise NoVideoError(f"{self.name} holds video that cannot be decoded", cure="convert it to H.264")
        stream.thread_type = threads
        return stream

    def _decode(self) -> Generator[VideoFrame, None, None]:
        """Pictures in the order they are shown, and at the end those still inside the decoder."""
        failed = 0
        for packet in self._whole_packets():
            if self._closed:
                return
            try:
                pictures = self._stream.decode(packet)
                failed = 0
            except av.error.InvalidDataError:
                # whoever joins in mid-stream first meets pictures that refer to ones before
                failed += 1
                if self._picture_ns and failed > self._forgiven:
                    raise
                continue
            yield from self._stamped(pictures)
        yield from self._stamped(self._stream.decode(None))

    def _stamped(self, pictures: list[VideoFrame]) -> Iterator[VideoFrame]:
        for picture in pictures:
            self._picture_ns = now_ns()
            yield picture

    def _first_picture(self) -> VideoFrame:
        try:
            picture = next(self._pictures, None)
        except av.error.FFmpegError as error:
            raise SourceError(f"{self.name} failed before its first picture: {self._why(error)}") from None
        if picture is None:
            raise NoVideoError(f"{self.name} holds no picture that can be decoded", "at least one")
        return picture


def _quarter_turns(picture: VideoFrame) -> int:
    return round(picture.rotation / 90) % 4


def _upright_size(picture: VideoFrame) -> tuple[int, int]:
    size = picture.height, picture.width
    return size[::-1] if _quarter_turns(picture) % 2 else size


def _upright_image(picture: VideoFrame) -> Image:
    # one thread: swscale's start-up of several costs more than it saves at these sizes
    image = np.asarray(picture.to_ndarray(format="bgr24", threads=1), np.uint8)
    turns = _quarter_turns(picture)
    # rows of odd widths are padded
    return np.asarray(cv2.rotate(image, _TURNS[turns]), np.uint8) if turns else np.ascontiguousarray(image)
