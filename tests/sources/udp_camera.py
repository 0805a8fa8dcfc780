"""A camera on the loopback that gives RTP over UDP only and answers 461 to whoever asks for TCP."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator

import av

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
)


class UdpCamera:
    """Serves one viewer at a time; ``asked`` has the transports that were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/live"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        port = 0
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError, ValueError):
            while request := b"".join(iter(lines.readline, b"\r\n")):
                method, count = request.split()[0].decode(), re.search(rb"CSeq: *(\d+)", request, re.I)
                assert count
                status, more, body = "200 OK", "", ""
                if method == "OPTIONS":
                    more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n"
                elif method == "DESCRIBE":
                    more, body = f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n", SDP
                elif method == "SETUP":
                    transport = re.search(rb"Transport: *([^\r]*)", request)
                    self.asked.append(transport[1].decode() if transport else "")
                    ports = re.search(r"RTP/AVP(?:/UDP)?;unicast;client_port=(\d+)", self.asked[-1])
                    port = int(ports[1]) if ports else 0
                    status = "200 OK" if ports else "461 Unsupported Transport"
                    more = f"Session: 1\r\nTransport: {self.asked[-1]};server_port=5000-5001\r\n" if ports else ""
                elif method == "PLAY":
                    more = "Session: 1\r\n"
                    threading.Thread(target=self._play, args=(port,), daemon=True).start()
                head = f"RTSP/1.0 {status}\r\nCSeq: {count[1].decode()}\r\n{more}\r\n"
                connection.sendall(head.encode() + body.encode())

    def _play(self, port: int) -> None:
        with av.open(f"rtp://127.0.0.1:{port}", "w", format="rtp", options={"pkt_size": "1200"}) as container:
            options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5", "x264-params": "repeat-headers=1"}
            stream = container.add_stream("libx264", rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            while not self._ending.wait(0.04):
                frame = av.VideoFrame(160, 120, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([90]) * plane.buffer_size)
                with contextlib.suppress(OSError):
                    container.mux(stream.encode(frame))


@contextlib.contextmanager
def udp_camera() -> Iterator[UdpCamera]:
    camera = UdpCamera()
    try:
        yield camera
    finally:
        camera.close()
