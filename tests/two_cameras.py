"""A video file with two video streams."""

from __future__ import annotations

from pathlib import Path

import av


def two_cameras(path: Path) -> Path:
    """A small red and a large blue stream in one file."""
    with av.open(str(path), "w") as container:
        for size in ((64, 48), (128, 96)):
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for level, stream in zip((60, 200), container.streams.video, strict=True):
            for _ in range(5):
                frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([level]) * plane.buffer_size)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path
