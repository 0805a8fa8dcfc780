"""The view as H.264, pushed to an RTSP server."""

from drivenet.sinks.rtsp.sink import RtspSink

__all__ = ["RtspSink"]
