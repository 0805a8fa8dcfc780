"""Video files."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from drivenet.errors import NoVideoError, SourceError, SourceLostError
from drivenet.host.cpu import physical_cores
from drivenet.sources.container import READING, ContainerSource
from drivenet.sources.options import Options
from drivenet.sources.torn import stated_bytes, stated_seconds
from drivenet.sources.uri import named_stream, no_such_file

# FFmpeg takes any text that is named .txt or .nfo for a terminal animation
_NOT_VIDEO = {"tty"}
_OPTIONS = {
    # a file may not name addresses
    "protocol_whitelist": "file",
    # a playlist without an end is a recording that was broken off: all of it, and no waiting for more
    "live_start_index": "0",
    "max_reload": "1",
}
# a rate is judged by the times of so many pictures, or those in so many bytes (lossless ones are large)
_JUDGED, _JUDGED_BYTES = 100, 32_000_000
# a step of so many usual ones is a gap
_GAP = 10
# a tag of the whole length may be so much more than the times of the pictures say
_UNSTATED_S = 1.0
# with no more than that, other threads than the decoder's need them all
_FEW_CORES = 2


class VideoFile(ContainerSource):
    """The pictures of a video file, as fast as they are asked for.

    A file that is cut short yields what it holds and then raises SourceLostError, so that a run keeps its
    results and still ends as failed.

    Args:
        path: of the file.
        damaged: what becomes of damaged pictures: ``stop`` ends there, ``skip`` leaves them out and counts them.
        stream: number of the video stream to show; None for the largest.

    Raises:
        SourceNotFoundError: if there is no such file.
        NoVideoError: if it is empty, no video, or holds no picture.
        SourceError: if it is a folder or cannot be read.
    """

    def __init__(self, path: str | Path, *, damaged: str = "stop", stream: int | None = None) -> None:
        self._path = Path(path)
        container = open_container(self._path)
        forgiven = None if damaged == "skip" else 0
        # threads that each decode a picture cost a sixth more, which two cores have no room for
        threads = "AUTO" if physical_cores() > _FEW_CORES else "SLICE"
        super().__init__(str(self._path), container, threads, forgiven, stream)
        self.frames = self._stream.frames or None
        if not self.frames:
            self.fps = _kept_rate(self._path, self._stream.index, self.fps)

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        return self._container.demux(self._stream)

    def _check_end(self, frames: int) -> None:
        check_whole(self._path, self._container, self._stream, frames, self._stamp + max(self._step, self._lasts))
        super()._check_end(frames)


def open_video(uri: str, options: Options) -> VideoFile:
    """Open the video file of that path, which ``?stream=N`` may follow."""
    path, options = named_stream(uri, options)
    return VideoFile(path, damaged=options.damaged, stream=options.stream)


def check_whole(path: Path, container: InputContainer, stream: VideoStream, frames: int, end_s: float) -> None:
    """SourceLostError for a file that is shorter than it says itself.

    Args:
        path, container, stream: of the file, read to its end.
        frames: how many were read.
        end_s: when the last one of them ends.
    """
    what, cure = f"{path} is cut short after {frames} frames", "copy or record it again"
    try:
        stated, held = stated_bytes(path, container, stream), path.stat().st_size
    except FileNotFoundError:  # removed while it was read, which takes nothing from what was open
        return
    if stated > held:
        raise SourceLostError(f"{what}: {held} bytes", f"{stated}, as its index states", cure)
    lasts_s = stated_seconds(container, stream)
    if frames and lasts_s > end_s + _UNSTATED_S:
        raise SourceLostError(f"{what}: {end_s:.1f} s", f"{lasts_s:.1f} s, as its tag states", cure)


def open_container(path: Path) -> InputContainer:
    """A video file, open; SourceError for what is none, names addresses or cannot be read."""
    _check_file(path)
    return _open(path)


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise no_such_file(path) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{path} is a folder", "a video file")
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{path} is no ordinary file", "a video file")
    if not status.st_size:
        raise NoVideoError(f"{path} is empty (0 bytes)", "a video file", "copy or record it again")


def _open(path: Path) -> InputContainer:
    try:
        # the prefix keeps names with a colon from being taken for addresses
        container: InputContainer = av.open(f"file:{path}", "r", options=dict(_OPTIONS), **READING)
    except av.error.EOFError:
        raise NoVideoError(f"{path} holds no picture", "a video file (MP4, MKV, AVI, TS, ...)") from None
    except (av.error.InvalidDataError, av.error.ArgumentError):
        raise NoVideoError(
            f"{path} is no video or lost its index", "a video file (MP4, MKV, AVI, TS, ...)", "play it to check"
        ) from None
    except (av.error.FFmpegError, OSError) as error:
        raise _unreadable(path, error) from None
    if container.format.name in _NOT_VIDEO:
        container.close()
        raise NoVideoError(f"{path} is a text", "a video file (MP4, MKV, AVI, TS, ...)")
    return container


def _kept_rate(path: Path, index: int, stated: float) -> float:
    """The stated rate, or the one that the times of the first pictures keep if they come slower.

    Browsers record without a rate, which then reads as one picture a tick: 1000 a second. Recorders of
    cameras state the rate that they hoped for.
    """
    times: list[float] = []
    with _open(path) as container, contextlib.suppress(av.error.FFmpegError):
        stream = container.streams[index]
        for packet in islice(container.demux(stream), _JUDGED):
            if packet.dts is not None and packet.time_base:
                times.append(packet.dts * float(packet.time_base))
            if (packet.pos or 0) > _JUDGED_BYTES:
                break
    steps = np.diff(times)
    steps = steps[steps > 0]
    if not steps.size:
        return stated
    kept = 1 / float(steps[steps < _GAP * np.median(steps)].mean())
    return kept if stated > 1.1 * kept else stated


def _unreadable(path: Path, error: OSError | av.error.FFmpegError) -> SourceError:
    why = (error.strerror or "unknown error").lower()
    return SourceError(f"{path} cannot be read: {why}", cure="check its permissions and the disk")
