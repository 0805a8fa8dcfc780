"""Which video stream of a container is shown."""

from __future__ import annotations

import logging

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from drivenet.errors import NoVideoError

log = logging.getLogger(__name__)


def video_stream(name: str, container: InputContainer, wanted: int | None, how: str) -> VideoStream:
    """As :func:`chosen_stream`; where there are several, the log says which is shown.

    Args:
        name, container, wanted: as there.
        how: what names another stream, for the log.
    """
    stream, videos = chosen_stream(name, container, wanted), _videos(container)
    if len(videos) > 1:
        shown = videos.index(stream)
        log.info("%s has %d video streams (%s); showing %d, %s names another", name, len(videos), _listed(videos),
                 shown, how)  # fmt: skip
    return stream


def chosen_stream(name: str, container: InputContainer, wanted: int | None) -> VideoStream:
    """The stream to show: the one that is named, else the largest. The cover picture of a song is none.

    Args:
        name: of the source.
        container: what was opened.
        wanted: number among its video streams.

    Raises:
        NoVideoError: if there is none, or not that one.
    """
    videos = _videos(container)
    if any(s.disposition & Disposition.dependent for s in videos):
        what = f"{name} is a picture in {len(videos)} tiles (HEIC or AVIF)"
        raise NoVideoError(what, "a video, or a picture in one piece", "convert it to JPEG or PNG")
    if not videos:
        what = "sound but no video" if container.streams.audio else "no video"
        raise NoVideoError(f"{name} holds {what}", "a video stream", "name a file or stream with pictures")
    if wanted is not None and wanted >= len(videos):
        raise NoVideoError(f"{name} has no video stream {wanted}", f"0 to {len(videos) - 1}: {_listed(videos)}")
    stream = videos[wanted] if wanted is not None else _largest(container, videos)
    if stream.codec_context is None:
        raise NoVideoError(f"{name} holds video that cannot be decoded", cure="convert it to H.264")
    return stream


def _videos(container: InputContainer) -> list[VideoStream]:
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def _largest(container: InputContainer, videos: list[VideoStream]) -> VideoStream:
    """The stream with the most pixels; among equal ones FFmpeg's choice."""
    best = container.streams.best("video")
    most = max(map(_pixels, videos))
    largest = [s for s in videos if _pixels(s) == most]
    return next((s for s in largest if s is best), largest[0])


def _pixels(stream: VideoStream) -> int:
    context = stream.codec_context
    return context.width * context.height if context is not None else 0


def _listed(videos: list[VideoStream]) -> str:
    contexts = [stream.codec_context for stream in videos]
    sizes = ["unknown" if c is None else f"{c.width}x{c.height}" for c in contexts]
    return ", ".join(f"{i}: {size}" for i, size in enumerate(sizes))
