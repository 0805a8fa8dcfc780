"""Pictures out of a container, decoded by PyAV: what files and network streams share."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Iterator
from typing import Any

import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from drivenet.errors import NoVideoError, SourceError, SourceLostError
from drivenet.frame import Frame, Image
from drivenet.latency import now_ns
from drivenet.sources.base import Source

#: Arguments of ``av.open``: tags that are no UTF-8 end nothing. From 19 on PyAV reads them without being told.
READING: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
#: Rows swapped with columns, then mirrored left to right, then put upside down.
_Turn = tuple[bool, bool, bool]
_UPRIGHT: _Turn = (False, False, False)
#: A recording that stands still for longer was put together from several, or its times are not to be believed.
_LEAP_S = 10.0


class ContainerSource(Source):
    """One video stream of a container: turned and mirrored as its mark says, pixels taken as square.

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
        self._turn = _UPRIGHT
        #: When the newest picture is shown, as its stamp says (s), and counted from the first one (ns).
        self._stamp, self._media_ns = 0.0, 0
        #: When the newest picture was decoded, 0 before the first.
        self._picture_ns = 0
        try:
            self._stream = self._video_stream(threads)
            self._pictures = self._decode()
            first = self._first_picture()
            self._stamp = self._shown_at(first) or 0.0
            self._first = self._image(first)
        except BaseException:
            container.close()
            raise
        self.size = self._first.shape[0], self._first.shape[1]
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
        image: Image | None = self._first
        index = 0
        while image is not None and not self._closed:
            yield Frame(image, index, now_ns(), None if self.live else self._media_ns)
            index += 1
            try:
                picture = next(self._pictures, None)
            except av.error.FFmpegError as error:
                raise SourceLostError(f"{self.name} failed after {index} frames: {self._why(error)}") from None
            image = None
            if picture is not None:
                image = self._image(picture)
                self._pass_time(picture)
        if not self._closed:
            self._check_end(index)

    def _pass_time(self, picture: VideoFrame) -> None:
        """Go on to when this picture is shown; where its stamp says nothing, or leaps, by a frame."""
        step, at = 0.0, self._shown_at(picture)
        if at is not None:
            step, self._stamp = at - self._stamp, at
        if not 0 < step < _LEAP_S:
            step = 1 / self.fps if self.fps else 0.0
        self._media_ns += round(1e9 * step)

    def _shown_at(self, picture: VideoFrame) -> float | None:
        """Its stamp in seconds; the picture's own time base is missing in those that the decoder held back."""
        base = self._stream.time_base
        return None if picture.pts is None or base is None else float(picture.pts * base)

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
        if any(s.disposition & Disposition.dependent for s in videos):
            what = f"{self.name} is a picture in {len(videos)} tiles (HEIC or AVIF)"
            raise NoVideoError(what, "a video, or a picture in one piece", "convert it to JPEG or PNG")
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

    def _image(self, picture: VideoFrame) -> Image:
        """The picture in BGR, turned and mirrored as its mark says."""
        mark = _display_matrix(picture)
        if mark is not None:
            self._turn = _turn(*mark)
        elif picture.key_frame:
            # a mark within H.264 stands with its first picture and holds until the next key frame
            self._turn = _UPRIGHT
        try:
            # one thread: swscale's start-up of several costs more than it saves at these sizes
            image = np.asarray(picture.to_ndarray(format="bgr24", threads=1), np.uint8)
        except av.error.FFmpegError as error:
            colours = f"{picture.format.name} with matrix {picture.colorspace}"
            raise SourceError(
                f"{self.name} has colours that cannot be converted ({colours}): {self._why(error)}",
                "BT.601, BT.709 or BT.2020 (matrix 1, 5, 6 or 9 of H.273)",
                "convert it to H.264",
            ) from None
        return _turned(image, self._turn)


def _display_matrix(picture: VideoFrame) -> tuple[float, float, float, float] | None:
    """(a, b, c, d) if the picture is marked: a pixel at (x, y) is shown at (a x + c y, b x + d y)."""
    try:
        mark = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # beside side data of a kind that PyAV has no name for (EXIF in FFmpeg 8) only the angle can be had
        angle = math.radians(picture.rotation)
        return (math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)) if angle else None
    if not isinstance(mark, SideData):
        return None
    a, b, _, c, d = np.frombuffer(bytes(mark), np.int32)[:5].tolist()
    return a, b, c, d


def _turn(a: float, b: float, c: float, d: float) -> _Turn:
    if abs(a) + abs(d) < abs(b) + abs(c):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _turned(image: Image, turn: _Turn) -> Image:
    transposed, mirrored, upside_down = turn
    turned: cv2.typing.MatLike = cv2.transpose(image) if transposed else image
    if mirrored or upside_down:
        turned = cv2.flip(turned, -1 if mirrored and upside_down else int(mirrored))
    # rows of odd widths are padded
    return np.ascontiguousarray(turned, np.uint8)
