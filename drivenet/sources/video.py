"""Video files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from drivenet.errors import NoVideoError, SourceError, SourceLostError
from drivenet.sources.container import ContainerSource
from drivenet.sources.options import Options
from drivenet.sources.torn import stated_bytes
from drivenet.sources.uri import no_such_file

# FFmpeg takes any text that is named .txt or .nfo for a terminal animation
_NOT_VIDEO = {"tty"}


class VideoFile(ContainerSource):
    """The pictures of a video file, as fast as they are asked for.

    A file that is cut short yields what it holds and then raises SourceLostError, so that a run keeps its
    results and still ends as failed.

    Args:
        path: of the file.

    Raises:
        SourceNotFoundError: if there is no such file.
        NoVideoError: if it is empty, no video, or holds no picture.
        SourceError: if it is a folder or cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._torn = False
        _check_file(self._path)
        super().__init__(str(self._path), _open(self._path), "AUTO", forgiven=0)
        self.frames = self._stream.frames or None

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """All whole packets. A broken one counts as torn off only if nothing follows it."""
        broken: Packet[VideoStream] | None = None
        for packet in self._container.demux(self._stream):
            if not packet.size:
                continue
            if broken is not None:
                yield broken
            broken = packet if packet.is_corrupt else None
            if broken is None:
                yield packet
        self._torn = broken is not None

    def _check_end(self, frames: int) -> None:
        stated, held = stated_bytes(self._path, self._container, self._stream), self._path.stat().st_size
        if not (self._torn or stated > held):
            return
        missing = f"{stated} bytes, as its index states, not {held}" if stated > held else "a whole last picture"
        raise SourceLostError(f"{self.name} is cut short after {frames} frames", missing, "copy or record it again")


def open_video(uri: str, options: Options) -> VideoFile:
    """Open the video file of that path."""
    return VideoFile(uri)


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise no_such_file(path) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {_reason(error)}", cure="check its permissions") from None
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{path} is a folder", "a video file")
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{path} is no ordinary file", "a video file")
    if not status.st_size:
        raise NoVideoError(f"{path} is empty (0 bytes)", "a video file", "copy or record it again")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{path} cannot be read: permission denied", cure="check its permissions")


def _open(path: Path) -> InputContainer:
    try:
        # the prefix keeps names with a colon from being taken for addresses, the list a file from naming others
        container = av.open(f"file:{path}", "r", options={"protocol_whitelist": "file"})
    except av.error.InvalidDataError:
        raise NoVideoError(
            f"{path} is no video or lost its index", "a video file (MP4, MKV, AVI, TS, ...)", "play it to check"
        ) from None
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"{path} cannot be opened: {_reason(error)}") from None
    if container.format.name in _NOT_VIDEO:
        container.close()
        raise NoVideoError(f"{path} is a text", "a video file (MP4, MKV, AVI, TS, ...)")
    return container


def _reason(error: OSError | av.error.FFmpegError) -> str:
    return (error.strerror or "unknown error").lower()
