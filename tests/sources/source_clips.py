"""Small real recordings for the tests of sources."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from drivenet.errors import SourceError
from drivenet.frame import Frame
from drivenet.sources.base import Source

WIDTH, HEIGHT, FPS = 160, 120, 10


def picture(index: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Noise that is hard to compress, brighter from frame to frame, with a red corner at the top left."""
    rng = np.random.default_rng(index)
    image = rng.integers(0, 32, (height, width, 3), np.uint8) + np.uint8(index * 4)
    image[: height // 2, : width // 2] = (0, 0, 255)
    return image


def write_clip(
    path: Path,
    frames: int = 30,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    codec: str = "libx264",
    rotation: int = 0,
    sound: bool = False,
    stated: int = FPS,
    at: Callable[[int], float] = float,
    ticks: int = FPS,
    title: str = "",
    first: int = 0,
    **options: str,
) -> Path:
    """Write a clip with a key frame every ten frames.

    Frame n holds ``picture(first + n)`` and is shown at ``at(n)`` frame times, told in ``ticks`` a second, whatever
    rate is ``stated``; ``options`` go to the muxer.
    """
    with av.open(str(path), "w", options=options) as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=stated)
        stream.codec_context.time_base = Fraction(1, ticks)
        stream.codec_context.thread_count = 3  # or the bytes, and what damages them, would differ with the cores
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = {"g": "10", "preset": "ultrafast"} if codec == "libx264" else {}
        if rotation:
            stream.set_display_rotation(rotation)
        if sound:
            write_tone(container, seconds=frames / FPS)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(first + index, *size), format="bgr24")
            frame.pts, frame.time_base = round(at(index) * ticks / FPS), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remux(source: Path, target: Path, filters: str) -> Path:
    """Copy a clip through a bitstream filter, without decoding it."""
    with av.open(str(source)) as read_from, av.open(str(target), "w") as container:
        stream = read_from.streams.video[0]
        copy = container.add_stream_from_template(stream)
        change = BitStreamFilterContext(filters, stream, copy)
        for packet in read_from.demux(stream):
            for changed in change.filter(packet):
                changed.stream = copy
                container.mux(changed)
    return target


def write_tone(container: av.container.OutputContainer, seconds: float) -> None:
    """Add a stream of silence."""
    stream = container.add_stream("aac", rate=16000, layout="mono")
    for start in range(0, int(seconds * 16000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def cut(path: Path, share: float = 0.6) -> Path:
    """Cut the file down to that share of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def read(source: Source) -> tuple[list[Frame], SourceError | None]:
    """All frames of a source, and the error it ended with."""
    frames: list[Frame] = []
    try:
        for frame in source:
            frames.append(frame)
    except SourceError as error:
        return frames, error
    finally:
        source.close()
    return frames, None


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[None]:
    """The superuser may read all files; act as somebody else for a moment."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
