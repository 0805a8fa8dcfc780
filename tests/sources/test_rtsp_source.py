"""RTSP against a real server, where the machine has one."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from rtsp_servers import rtsp_server

from drivenet.errors import SourceError
from drivenet.sources import open_source
from drivenet.sources.causes import cause_of

PATIENT_S = 20.0
HASTY_S = 1.0


def test_a_camera_that_goes_away_and_comes_back() -> None:
    with rtsp_server() as port:
        source = open_source(f"rtsp://127.0.0.1:{port}/live", timeout_s=PATIENT_S)
        assert (source.live, source.size, source.fps) == (True, (120, 160), 25)
        frames = iter(source)
        indices = [next(frames).index for _ in range(5)]
    with rtsp_server(port):
        for frame in frames:
            indices.append(frame.index)
            if source.status().reconnects:
                break
        indices += [f.index for f in itertools.islice(frames, 20)]
    source.close()
    assert indices == list(range(len(indices)))


def test_a_camera_with_a_password() -> None:
    with rtsp_server(0, "admin", "s3cret") as port:
        source = open_source(f"rtsp://admin:s3cret@127.0.0.1:{port}/live", timeout_s=PATIENT_S)
        assert source.name == f"rtsp://***@127.0.0.1:{port}/live"
        assert next(iter(source)).size == (120, 160)
        source.close()
        with pytest.raises(SourceError, match=r"refuses: .*401") as caught:
            open_source(f"rtsp://admin:wr0ng@127.0.0.1:{port}/live", timeout_s=PATIENT_S)
        assert "wr0ng" not in str(caught.value)
        with pytest.raises(SourceError, match=r"nothing at .*404"):
            open_source(f"rtsp://admin:s3cret@127.0.0.1:{port}/other", timeout_s=PATIENT_S)


#: In place of an answer: what is asked is left unread, and the connection reset.
RESET = b"reset"


@contextlib.contextmanager
def no_camera(answer: bytes | None) -> Iterator[int]:
    """A port that takes connections, and answers with this and hangs up; with None it keeps them and says nothing."""
    kept: list[socket.socket] = []

    def greet() -> None:
        with contextlib.suppress(OSError):
            while True:
                kept.append(server.accept()[0])
                if answer == RESET:
                    kept[-1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif answer is not None:
                    kept[-1].recv(4096)
                    kept[-1].sendall(answer)
                if answer is not None:
                    kept[-1].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    for connection in kept:
        connection.close()


@pytest.mark.parametrize(
    ("answer", "says", "cause"),
    [
        (None, "no answer", "timeout"),
        (b"", "hangs up without an answer", "refused"),
        (RESET, "hangs up without an answer", "refused"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "answers with no video", "undecodable"),
        (b"RTSP/1.0 503 Busy\r\nCSeq: 1\r\n\r\n", "5xx", "failed"),
    ],
)
def test_what_is_no_camera_yet_is_told_apart(answer: bytes | None, says: str, cause: str) -> None:
    """A camera that starts takes connections before it answers: neither its path nor its password is wrong."""
    with no_camera(answer) as port:
        with pytest.raises(SourceError, match=says) as caught:
            open_source(f"rtsp://127.0.0.1:{port}/live", timeout_s=HASTY_S)
        assert cause_of(caught.value) == cause
