"""How files are cut into segments: at key frames, and by what is in the file alone."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from drivenet.errors import NoVideoError, SourceError, SourceLostError, UsageError
from drivenet.frame import Frame
from drivenet.sources.choice import chosen_stream, video_stream
from drivenet.sources.decoded import Converter, DecodedPicture
from drivenet.sources.kinds import by_suffix
from drivenet.sources.turning import UPRIGHT, turn_at
from drivenet.sources.video import VideoFile, check_whole, open_container
from drivenet.sources.waiting import Waiting, is_silent

#: A segment ends at the first key frame after so many frames.
SEGMENT_FRAMES = 250
#: What reads another stream of a file.
_OTHERS = "drivenet run FILE?stream=N"
#: What helps with a damaged file, on which a batch ends.
_DAMAGED = "copy it again, or leave it out: drivenet run --damaged skip takes it"


@dataclass(frozen=True)
class Segment:
    """A part of one file.

    Args:
        file: as it was given.
        output: the folder of the file below the output folder.
        number: counts the segments of a file.
        first_frame: index of its first frame in the file.
        start, end: presentation times in the stream's time base; the end is the next segment's start, None at the last.
            The start is None where times do not tell frames apart, and the file is one segment.
        bytes: size of the file, by which another one of the same name is told.
        stored: when the packet of its key frame is due at the decoder, in the same time base; None if that is not told.
        origin: presentation time of the first frame of the file.
    """

    file: str
    output: str
    number: int
    first_frame: int
    start: int | None
    end: int | None
    bytes: int = 0
    stored: int | None = None
    origin: int = 0

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
    _check_apart(outputs)
    return [segment for file, output in zip(files, outputs, strict=True) for segment in _segments(file, output, least)]


def frames_of(segment: Segment) -> Iterator[Frame]:
    """The frames of a segment, decoded from its key frame on; indices count in the file, times from its beginning.

    Raises:
        SourceError: if it cannot be decoded.
    """
    if segment.start is None:
        yield from _whole(segment)
        return
    turn, index, converter = UPRIGHT, segment.first_frame, Converter(str(segment.file))
    try:
        for picture, base in _pictures(segment):
            if picture.pts is None or picture.pts < segment.start:
                continue
            if segment.end is not None and picture.pts >= segment.end:
                return
            turn = turn_at(picture, turn)
            media_ns = round(float((picture.pts - segment.origin) * base) * 1e9) if base is not None else index
            yield Frame(DecodedPicture(picture, turn, converter), index, media_ns, media_ns)
            index += 1
    except av.error.FFmpegError as error:
        what = f"{segment.file} cannot be decoded: {error.strerror or error}"
        raise SourceError(what, "a whole video", _DAMAGED) from error


def _whole(segment: Segment) -> Iterator[Frame]:
    """All frames of a file, as a run has them."""
    try:
        with VideoFile(segment.file) as video:
            for frame in video:
                media_ns = frame.media_ns or 0
                yield frame.changed(captured_ns=media_ns, media_ns=media_ns)
    except SourceLostError as error:
        raise SourceLostError(error.received, "a whole video", _DAMAGED) from error


def _pictures(segment: Segment) -> Iterator[tuple[VideoFrame, Fraction | None]]:
    """The pictures of a file from a segment's key frame on, or from before it, with their time base.

    Some containers are sought by when frames are shown, some by when they are stored, and MPEG-TS and -PS to any
    packet. What lands behind the key frame would lose frames; the beginning of the file is before all of them.
    """
    places = (segment.start, segment.stored, None) if segment.number else (None,)
    for place in places:
        with open_container(Path(segment.file)) as container:
            stream = chosen_stream(segment.file, container, None)  # told in the plan
            packets = _packets(container, stream, place)
            first = next(packets, None)
            if place is None or (first is not None and _reaches(first, segment)):
                for picture in _decoded(segment, stream, chain([] if first is None else [first], packets)):
                    yield picture, stream.time_base
                return


def _decoded(segment: Segment, stream: VideoStream, packets: Iterator[Packet[VideoStream]]) -> Iterator[VideoFrame]:
    """The pictures of packets; SourceLostError where the decoder leaves one out without a word."""
    waiting = Waiting()
    for packet in packets:
        waiting.sent(packet)
        for picture in stream.decode(packet):
            _check_none_lost(segment, stream, waiting.came(picture.pts))
            yield picture
    _check_none_lost(segment, stream, waiting.left())


def _check_none_lost(segment: Segment, stream: VideoStream, pictures: int) -> None:
    if pictures and is_silent(stream):
        raise SourceLostError(f"{segment.file} lost {pictures} pictures on the way", "a whole video", _DAMAGED)


def _packets(container: InputContainer, stream: VideoStream, place: int | None) -> Iterator[Packet[VideoStream]]:
    """The packets of a stream from a time on, and the one that ends it; none where it cannot be sought."""
    if place is not None:
        try:
            container.seek(place, stream=stream, backward=True)
        except av.error.FFmpegError:
            return
    yield from container.demux(stream)


def _reaches(packet: Packet[VideoStream], segment: Segment) -> bool:
    """Whether a segment's key frame is this packet or comes after it."""
    assert segment.start is not None
    if packet.is_keyframe and packet.pts is not None and packet.pts <= segment.start:
        return True
    return packet.dts is not None and segment.stored is not None and packet.dts <= segment.stored


def _segments(file: Path, output: str, least: int) -> list[Segment]:
    """Read the packets of a file, without decoding them."""
    if by_suffix(file.suffix) == "images":
        raise NoVideoError(f"{file} is a picture", "video files; drivenet run takes pictures")
    packets: list[_Packet] = []
    end = 0
    try:
        with open_container(file) as container:
            stream = video_stream(str(file), container, None, _OTHERS)
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:  # what an edit list leaves out is decoded, but never shown
                    packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe))
                    end = max(end, (packet.pts or 0) + (packet.duration or 0))
            check_whole(file, container, stream, len(packets), float(end * (stream.time_base or 0)))
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"{file} cannot be read: {error}", "a video file") from error
    if not packets:
        raise NoVideoError(f"{file} holds no frames", "a video file")
    size = file.stat().st_size
    if not _in_order(packets):
        return [Segment(str(file), output, 0, 0, None, None, size)]
    cuts = _cuts(packets, least)
    ends = [*(start for _, start, _ in cuts[1:]), None]
    return [
        Segment(str(file), output, number, index, start, end, size, stored, cuts[0][1])
        for number, ((index, start, stored), end) in enumerate(zip(cuts, ends, strict=True))
    ]


class _Packet(NamedTuple):
    """When a frame is shown and when it is stored, and whether others can begin with it."""

    pts: int | None
    dts: int | None
    key: bool


def _in_order(packets: Sequence[_Packet]) -> bool:
    """Whether times tell the frames apart: those of raw streams are missing, those of joined files may go back."""
    stored = [packet.dts for packet in packets if packet.dts is not None]
    return all(packet.pts is not None for packet in packets) and all(a <= b for a, b in pairwise(stored))


def _cuts(packets: Sequence[_Packet], least: int) -> list[tuple[int, int, int | None]]:
    """Index, presentation time and storage time of the frames that segments begin with."""
    times = sorted(packet.pts or 0 for packet in packets)
    found: list[tuple[int, int, int | None]] = [(0, times[0], None)]
    for key in sorted((packet for packet in packets if packet.key), key=lambda packet: packet.pts or 0):
        index = bisect_left(times, key.pts or 0)
        if index - found[-1][0] >= least:
            found.append((index, key.pts or 0, key.dts))
    return found


def _below_common(files: Sequence[Path]) -> list[Path]:
    """The files below the folder that they have in common; a ``..`` would lead out of the output folder."""
    places = [Path(os.path.abspath(file)) for file in files]
    common = next(p for p in places[0].parents if all(place.is_relative_to(p) for place in places))
    return [place.relative_to(common) for place in places]


def _check_apart(outputs: Sequence[str]) -> None:
    """UsageError for a file whose outputs would lie in a segment of another one: each is put in place as a whole."""
    for output in outputs:
        for above in set(map(str, Path(output).parents)).intersection(outputs):
            if re.match(r"\d{5,}(/|$)", output[len(above) + 1 :]):
                raise UsageError(f"outputs of {output!r} within those of {above!r}", "other names", "rename one")
