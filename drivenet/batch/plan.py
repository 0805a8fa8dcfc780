"""How files are cut into segments: at key frames, and by what is in the file alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from drivenet.errors import NoVideoError, SourceError, UsageError
from drivenet.frame import Frame
from drivenet.sources.choice import video_stream
from drivenet.sources.kinds import by_suffix
from drivenet.sources.turning import UPRIGHT, display_matrix, turn_of, turned
from drivenet.sources.video import check_whole, open_container

#: A segment ends at the first key frame after so many frames.
SEGMENT_FRAMES = 250
#: What reads another stream of a file.
_OTHERS = "drivenet run FILE?stream=N"


@dataclass(frozen=True)
class Segment:
    """A part of one file.

    Args:
        file: as it was given.
        output: the folder of the file below the output folder.
        number: counts the segments of a file.
        first_frame: index of its first frame in the file.
        start, end: presentation times in the stream's time base; the end is the next segment's start, None at the last.
        bytes: size of the file, by which another one of the same name is told.
    """

    file: str
    output: str
    number: int
    first_frame: int
    start: int
    end: int | None
    bytes: int = 0

    @property
    def folder(self) -> str:
        """Where its outputs are, below the output folder."""
        return f"{self.output}/{self.number:05d}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def plan(files: Sequence[Path], least: int = SEGMENT_FRAMES) -> list[Segment]:
    """The segments of all files, in order.

    Args:
        files: videos with distinct names below their common folder.
        least: frames of a segment before the next key frame begins another.

    Raises:
        UsageError: if two outputs would have one place.
        SourceError: for a file that is no video.
    """
    outputs = [str(file.with_suffix("")) for file in _below_common(files)]
    if twice := sorted({name for name in outputs if outputs.count(name) > 1}):
        raise UsageError(f"two files named {twice[0]!r} but for their suffix", "distinct names")
    return [segment for file, output in zip(files, outputs, strict=True) for segment in _segments(file, output, least)]


def frames_of(segment: Segment) -> Iterator[Frame]:
    """The frames of a segment, decoded from its key frame on; indices count in the file, times from its beginning.

    Raises:
        SourceError: if it cannot be decoded.
    """
    turn, index, converter = UPRIGHT, segment.first_frame, VideoReformatter()
    try:
        with open_container(Path(segment.file)) as container:
            stream = video_stream(segment.file, container, None, _OTHERS)
            base = stream.time_base
            container.seek(segment.start, stream=stream, backward=True)
            for picture in container.decode(stream):
                if picture.pts is None or picture.pts < segment.start:
                    continue
                if segment.end is not None and picture.pts >= segment.end:
                    return
                mark = display_matrix(picture)
                turn = turn_of(*mark) if mark is not None else UPRIGHT if picture.key_frame else turn
                shown = converter.reformat(picture, format="bgr24", threads=1)
                image = turned(np.asarray(shown.to_ndarray(), np.uint8), turn)
                media_ns = round(float(picture.pts * base) * 1e9) if base is not None else index
                yield Frame(image, index, media_ns, media_ns)
                index += 1
    except av.error.FFmpegError as error:
        raise SourceError(f"{segment.file} cannot be decoded: {error.strerror or error}", "a whole video") from error


def _segments(file: Path, output: str, least: int) -> list[Segment]:
    """Read the packets of a file, without decoding them."""
    if by_suffix(file.suffix) == "images":
        raise NoVideoError(f"{file} is a picture", "video files; drivenet run takes pictures")
    shown, keys = [], []
    try:
        with open_container(file) as container:
            stream = video_stream(str(file), container, None, _OTHERS)
            for packet in container.demux(stream):
                if packet.pts is not None and packet.size:
                    shown.append(packet.pts)
                    if packet.is_keyframe:
                        keys.append(packet.pts)
            check_whole(file, container, stream, len(shown))
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"{file} cannot be read: {error}", "a video file") from error
    if not shown:
        raise NoVideoError(f"{file} holds no frames", "a video file with times")
    times = sorted(shown)
    index = {pts: i for i, pts in enumerate(times)}
    starts = [times[0]]
    for key in sorted(keys):
        if index[key] - index[starts[-1]] >= least:
            starts.append(key)
    ends = [*starts[1:], None]
    return [
        Segment(str(file), output, number, index[start], start, end, file.stat().st_size)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _below_common(files: Sequence[Path]) -> list[Path]:
    """The files below the folder that they have in common."""
    folders = [file.absolute().parent for file in files]
    common = next(p for p in (folders[0], *folders[0].parents) if all(f.is_relative_to(p) for f in folders))
    return [file.absolute().relative_to(common) for file in files]
