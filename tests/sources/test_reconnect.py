"""Live sources are opened again, for as long as it takes."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from source_clips import write_clip
from source_scripts import Scripted
from source_servers import Request, Route, recording, serve, stream

from drivenet.errors import NoVideoError, SourceError, SourceLostError, SourceNotFoundError, wrapped
from drivenet.sources.base import Source
from drivenet.sources.causes import NOBODY, cause_of
from drivenet.sources.reconnect import Reconnecting
from drivenet.sources.stream import NetworkStream

LONG_S = 60.0


def in_turn(*steps: Source | SourceError) -> Callable[[], Source]:
    """An opener that gives or raises one step after the other."""
    rest = iter(steps)

    def open_once() -> Source:
        step = next(rest)
        if isinstance(step, SourceError):
            raise step
        return step

    return open_once


def test_indices_go_on_counting_over_ends_and_failures() -> None:
    sources = [Scripted(3, "end"), Scripted(2, "fail"), Scripted(4)]
    source = Reconnecting(in_turn(sources[0], sources[1], SourceError("still down"), sources[2]), 0.001, 0.002)
    frames = list(itertools.islice(source, 9))
    assert [f.index for f in frames] == list(range(9))
    assert [int(f.image[0, 0, 0]) for f in frames] == [0, 1, 2, 0, 1, 0, 1, 2, 3]
    assert source.reconnects == 2
    assert source.last_error == "still down"
    source.close()
    assert [s.closed for s in sources] == [1, 1, 1]


def test_the_first_failure_is_final() -> None:
    with pytest.raises(SourceNotFoundError, match="nobody home"):
        Reconnecting(in_turn(SourceNotFoundError("nobody home")))


def test_a_source_that_may_be_away_at_first_is_lost_and_comes() -> None:
    opener = in_turn(SourceNotFoundError("cam: connection refused"), SourceError("still down"), Scripted(3))
    source = Reconnecting(opener, 0.001, 0.002, absent="rtsp://***@cam/1")
    assert (source.name, source.live, source.size) == ("rtsp://***@cam/1", True, None)
    status = source.status()
    assert (status.away, status.cause, status.last_error) == (True, "refused", "cam: connection refused")
    assert [f.index for f in itertools.islice(source, 3)] == [0, 1, 2]
    assert source.status().reconnects == 1
    source.close()


@pytest.mark.parametrize("error", ["cam: 404 not found", "cam refuses: 401", "no camera 7", f"rtsp://x: {NOBODY} x"])
def test_an_address_that_looks_wrong_is_an_error_unless_it_is_forgiven(error: str) -> None:
    with pytest.raises(SourceNotFoundError, match="check it; --wait waits for it"):
        Reconnecting(in_turn(SourceNotFoundError(error, cure="check it")), absent="cam")
    source = Reconnecting(in_turn(SourceNotFoundError(error), Scripted(3)), 0.001, absent="cam", forgiving=True)
    assert source.status().away
    assert [f.index for f in itertools.islice(source, 3)] == [0, 1, 2]
    source.close()


def test_a_name_that_nobody_has_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("drivenet.sources.connect.socket.getaddrinfo", nobody)
    with pytest.raises(SourceNotFoundError, match=r"no machine is called no-such-name\.invalid") as caught:
        NetworkStream("rtsp://user:s3cret@no-such-name.invalid/1", LONG_S)
    assert cause_of(caught.value) == "not found"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (SourceLostError("cam ended after 9 frames"), "ended"),
        (SourceError("cam gave no picture for 5 s"), "timeout"),
        (NoVideoError("cam holds no picture"), "undecodable"),
        (SourceError("cam: something else"), "failed"),
        (SourceError("rtsp://10.0.0.1:40401/404 cannot be opened: server returned 5xx"), "failed"),
        (SourceError("rtsp://ended.example/refused: 404 not found"), "not found"),
        (wrapped(SourceError, "cam", OSError(19, "No such device")), "device gone"),
        (wrapped(SourceError, "cam", ConnectionRefusedError()), "refused"),
    ],
)
def test_why_it_is_away_is_one_word(error: SourceError, cause: str) -> None:
    assert cause_of(error) == cause


def test_a_recording_is_not_opened_again() -> None:
    assert len(list(Reconnecting(in_turn(Scripted(3, live=False))))) == 3
    source = Reconnecting(in_turn(Scripted(3, "fail", live=False)))
    with pytest.raises(SourceLostError):
        list(source)
    assert source.reconnects == 0


def test_closing_ends_the_wait() -> None:
    source = Reconnecting(in_turn(Scripted(1, "fail"), SourceError("down")), first_wait_s=LONG_S * 10)
    frames = iter(source)
    next(frames)
    reader = threading.Thread(target=lambda: list(frames))
    reader.start()
    source.close()
    reader.join(LONG_S)
    assert not reader.is_alive()


def test_waits_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Reconnecting(in_turn(Scripted(1), *[SourceError("down")] * 5, Scripted(1)), 0.5, 8)
    waits: list[float] = []

    def wait(timeout: float) -> bool:
        waits.append(timeout)
        return False

    monkeypatch.setattr(source._stop, "wait", wait)
    assert [f.index for f in itertools.islice(source, 2)] == [0, 1]
    assert waits == pytest.approx([0.5, 1, 2, 4, 8, 8], rel=0.11)
    source.close()


def a_connection_each(*routes: Route) -> Route:
    """One route after the other; then the last one again and again."""
    left = list(routes)
    return lambda request: (left.pop(0) if len(left) > 1 else left[0])(request)


def test_a_server_that_hangs_up_again_and_again(tmp_path: Path) -> None:
    pieces = [stream(write_clip(tmp_path / f"{i}.ts", frames=10, title=str(i), first=i).read_bytes()) for i in range(4)]
    with serve({"/live": a_connection_each(*pieces)}) as address:
        source = Reconnecting(lambda: NetworkStream(f"{address}/live", LONG_S), 0.001)
        assert [f.index for f in itertools.islice(source, 35)] == list(range(35))
        assert source.reconnects == 3
        source.close()


def test_a_server_that_is_down_for_a_while(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes()
    failed = threading.Event()

    def open_once() -> Source:
        try:
            return NetworkStream(f"http://admin:s3cret@127.0.0.1:{port}/live", LONG_S)
        except SourceError:
            failed.set()
            raise

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    indices: list[int] = []
    with serve({"/live": stream(data, hold=True)}, port):
        source = Reconnecting(open_once, 0.01, 0.01)
        frames = iter(source)
        indices += [f.index for f in itertools.islice(frames, 5)]
    reader = threading.Thread(target=lambda: indices.extend(f.index for f in itertools.islice(frames, 40)))
    reader.start()
    assert failed.wait(LONG_S)
    assert "s3cret" not in source.last_error
    later = write_clip(tmp_path / "b.ts", frames=50, first=7).read_bytes()
    with serve({"/live": stream(later)}, port):
        reader.join(LONG_S)
        source.close()
    assert indices == list(range(45))
    assert source.reconnects >= 1


def motion_jpeg(request: Request) -> None:
    """Five pictures of a camera, which then hangs up."""
    request.head(Content_Type="multipart/x-mixed-replace; boundary=frame")
    for index in range(5):
        part = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg(index))}\r\n\r\n".encode()
        request.wfile.write(part + jpeg(index) + b"\r\n")


def jpeg(shade: int) -> bytes:
    return cv2.imencode(".jpg", np.full((24, 32, 3), 40 * shade, np.uint8))[1].tobytes()


def test_a_file_in_the_place_of_a_camera_is_no_end() -> None:
    """As proxies answer with a picture that says so while the camera starts."""
    with serve({"/cam": a_connection_each(motion_jpeg, *[recording(jpeg(6))] * 3, motion_jpeg)}) as address:
        source = Reconnecting(lambda: NetworkStream(f"{address}/cam", LONG_S), 0.001, 0.002)
        assert [f.index for f in itertools.islice(source, 10)] == list(range(10))
        assert source.last_error == f"{address}/cam answers with a file; expected the live stream that was there"
        source.close()


def test_a_picture_without_a_length_in_the_place_of_a_camera_is_no_end() -> None:
    with serve({"/cam": a_connection_each(motion_jpeg, *[stream(jpeg(6))] * 3, motion_jpeg)}) as address:
        source = Reconnecting(lambda: NetworkStream(f"{address}/cam", LONG_S), 0.001, 0.002)
        assert [f.index for f in itertools.islice(source, 13)] == list(range(13))
        source.close()


def test_a_server_that_refuses_everybody() -> None:
    with serve({"/live": lambda request: Request.head(request, 403)}) as address, pytest.raises(SourceError):
        Reconnecting(lambda: NetworkStream(f"{address}/live", LONG_S))


def chunked(data: bytes) -> Route:
    """Data whose end is told, but not its length before."""

    def route(request: Request) -> None:
        request.protocol_version = "HTTP/1.1"
        request.head(Transfer_Encoding="chunked")
        for start in range(0, len(data), 4096):
            piece = data[start : start + 4096]
            request.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        request.wfile.write(b"0\r\n\r\n")

    return route


@pytest.mark.parametrize("serving", [stream, chunked])
def test_a_recording_of_unknown_length_is_read_once(tmp_path: Path, serving: Callable[[bytes], Route]) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes()
    with serve({"/a.ts": serving(data)}) as address:
        source = Reconnecting(lambda: NetworkStream(f"{address}/a.ts", LONG_S), 0.001)
        assert source.live
        assert [f.index for f in itertools.islice(source, 31)] == list(range(30))


def test_a_recording_of_known_length_is_not_live(tmp_path: Path) -> None:
    """A transport stream states no duration, and a server without ranges lets FFmpeg find none."""
    data = write_clip(tmp_path / "a.ts").read_bytes()
    with serve({"/a.ts": recording(data)}) as address:
        source = Reconnecting(lambda: NetworkStream(f"{address}/a.ts", LONG_S), 0.001)
        assert not source.live
        assert [f.index for f in source] == list(range(30))
