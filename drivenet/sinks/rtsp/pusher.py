"""Encodes pictures and pushes them to an RTSP server, as a process of its own: pusher.py < ORDER AND PICTURES.

FFmpeg connects and says goodbye under Python's lock and without a time limit: within the node, a server that does
not answer would stop every thread. This process can simply be killed.

Reads a line of JSON with ``uri``, ``size`` (height, width), ``colour`` (matrix and range as FFmpeg numbers them) and
``patience`` (seconds that the server may need for an answer), then for each picture its time (nanoseconds, 8 bytes)
and its I420 planes. Prints ``streaming`` once the server takes the stream, or why it does not, and never the address.
"""

import json
import os
import signal
import struct
import sys
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream

#: Nothing waits in the encoder. ``forced-idr`` makes a forced picture one that a viewer can begin with.
_X264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "forced-idr": "1"}
_TICKS = 90_000
#: Whoever joins waits no longer than this for a picture, whatever the rate.
_KEY_EVERY = 2 * _TICKS


def push(order: dict[str, Any], pictures: BinaryIO) -> None:
    """Stream until the pictures end. Raises what PyAV raises."""
    container = av.open(order["uri"], "w", format="rtsp", options={"rtsp_transport": "tcp"})
    stream = _stream(container, order)
    signal.alarm(order["patience"])  # unhandled it ends the process, which nothing else could in a call of FFmpeg
    container.start_encoding()
    signal.alarm(0)
    print("streaming", flush=True)
    height, width = order["size"]
    first_ns, pts, key = -1, -1, -_KEY_EVERY
    while len(data := pictures.read(8 + height * width * 3 // 2)) > 8:
        at_ns = struct.unpack_from("<q", data)[0]
        first_ns = at_ns if first_ns < 0 else first_ns
        pts = max(pts + 1, (at_ns - first_ns) * _TICKS // 1_000_000_000)
        planes = np.frombuffer(data, np.uint8, offset=8).reshape(-1, width)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = pts, Fraction(1, _TICKS)
        if pts - key >= _KEY_EVERY:
            key, frame.pict_type = pts, PictureType.I
        signal.alarm(order["patience"])
        container.mux(stream.encode(frame))
        signal.alarm(0)
    signal.alarm(order["patience"])
    container.mux(stream.encode(None))
    container.close()


def _stream(container: OutputContainer, order: dict[str, Any]) -> VideoStream:
    stream = container.add_stream("libx264", rate=30, options=dict(_X264))
    stream.height, stream.width = order["size"]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = Fraction(1, _TICKS)
    context.colorspace, context.color_range = order["colour"]
    return stream


def main() -> None:
    """Push, and end at once when that fails: taking leave of a server that is gone may hang."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # whatever the node does with it
    order = json.loads(sys.stdin.buffer.readline())
    try:
        push(order, sys.stdin.buffer)
    except (av.FFmpegError, OSError) as error:  # its text holds the address
        print((error.strerror or "unknown error").lower(), flush=True)
        os._exit(1)


if __name__ == "__main__":
    main()
