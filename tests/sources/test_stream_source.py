"""Network streams against real servers on the loopback."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import traceback
from pathlib import Path

import cv2
import pytest
from source_clips import FPS, HEIGHT, WIDTH, picture, read, write_clip
from source_servers import Request, Route, recording, serve, stream

from drivenet.errors import NoVideoError, SourceError, SourceLostError, SourceNotFoundError, UsageError
from drivenet.sources.options import Options
from drivenet.sources.reconnect import Reconnecting
from drivenet.sources.stream import NetworkStream, open_stream

PATIENT_S = 10.0
HASTY_S = 1.0
SECRET = "s3cret"


def with_credentials(address: str) -> str:
    return address.replace("http://", f"http://admin:{SECRET}@")


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_a_recording_over_http_ends_and_is_not_live(tmp_path: Path, options: dict[str, str]) -> None:
    data = write_clip(tmp_path / "a.mp4", **options).read_bytes()

    def ranges(request: Request) -> None:
        start = int((request.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        request.head(206, Content_Length=str(len(data) - start), Content_Range=span, Accept_Ranges="bytes")
        request.wfile.write(data[start:])

    with serve({"/a.mp4": ranges}) as address:
        source = NetworkStream(f"{address}/a.mp4", PATIENT_S)
        assert (source.live, source.fps, source.size) == (False, FPS, (HEIGHT, WIDTH))
        frames, error = read(source)
    assert error is None
    assert [f.index for f in frames] == list(range(30))


def test_a_live_stream_gives_every_picture_and_its_end_is_a_loss(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes()
    with serve({"/live": stream(data)}) as address:
        source = NetworkStream(f"{with_credentials(address)}/live", PATIENT_S)
        assert source.live
        frames, error = read(source)
    assert [f.index for f in frames] == list(range(30))
    assert isinstance(error, SourceLostError)
    assert "after 30 frames" in str(error)


def test_a_title_in_another_encoding(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.mkv", frames=2, title="Strasse").read_bytes().replace(b"Strasse", b"Stra\xdfe ")
    with serve({"/a.mkv": recording(data)}) as address:
        assert len(read(NetworkStream(f"{address}/a.mkv", PATIENT_S))[0]) == 2


def test_motion_jpeg(tmp_path: Path) -> None:
    def route(request: Request) -> None:
        request.head(Content_Type="multipart/x-mixed-replace; boundary=frame")
        for index in range(5):
            jpeg = cv2.imencode(".jpg", picture(index))[1].tobytes()
            part = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
            request.wfile.write(part + jpeg + b"\r\n")

    with serve({"/mjpeg": route}) as address:
        source = NetworkStream(f"{address}/mjpeg", PATIENT_S)
        assert source.live
        frames, error = read(source)
    assert len(frames) == 5
    assert frames[0].size == (HEIGHT, WIDTH)
    assert isinstance(error, SourceLostError)


def test_a_server_that_dies_in_mid_file(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.mp4", movflags="faststart").read_bytes()
    with serve({"/a.mp4": recording(data, sent=len(data) * 6 // 10)}) as address:
        frames, error = read(NetworkStream(f"{with_credentials(address)}/a.mp4", PATIENT_S))
    assert 12 <= len(frames) < 30
    assert isinstance(error, SourceLostError)
    assert f"failed after {len(frames)} frames: connection lost" in str(error)


def test_a_stream_that_falls_silent_is_lost_after_the_timeout(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes()
    with serve({"/live": stream(data, hold=True)}) as address:
        frames, error = read(NetworkStream(f"{address}/live", HASTY_S))
    assert len(frames) >= 20
    assert isinstance(error, SourceLostError)


def test_the_rate_of_a_live_stream_that_states_none_is_that_of_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivenet.sources.stream._MOST_FPS", FPS / 2)
    data = write_clip(tmp_path / "a.ts").read_bytes()
    with serve({"/a.ts": stream(data)}) as address:
        source = Reconnecting(lambda: NetworkStream(f"{address}/a.ts", PATIENT_S))
        assert source.fps == 0
        frames = iter(source)
        rates = [source.fps for _ in itertools.islice(frames, 20)]
        source.close()
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(FPS, rel=0.01)


def test_sound_that_goes_on_without_pictures_is_a_loss(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes()
    with serve({"/a.ts": stream(data)}) as address:
        source = NetworkStream(f"{address}/a.ts", PATIENT_S)
        source._picture_ns -= round(1e9 * (PATIENT_S + 1))  # so long ago; packets still come
        source._counted = lambda pictures, waiting: iter(())  # type: ignore[method-assign]
        with pytest.raises(SourceLostError, match="gave no picture for"):
            list(source)
        source.close()


def test_transport_streams_over_udp(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes()
    stop = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for start in itertools.cycle(range(0, len(data), 1316)):
                # slowly, or the receiver's buffer overflows
                if stop.wait(0.0005):
                    return
                with contextlib.suppress(ConnectionRefusedError):
                    sender.sendto(data[start : start + 1316], address)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        source = NetworkStream(f"udp://{address[0]}:{address[1]}", PATIENT_S)
        assert source.live
        frames = list(itertools.islice(source, 10))
    finally:
        stop.set()
        thread.join()
    source.close()
    assert [f.index for f in frames] == list(range(10))


def test_transport_streams_over_tcp(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes()

    def send() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=send)
        thread.start()
        frames, error = read(NetworkStream(f"tcp://127.0.0.1:{listener.getsockname()[1]}", PATIENT_S))
        thread.join()
    assert len(frames) == 30
    assert isinstance(error, SourceLostError)
    assert "ended after 30 frames" in str(error)


def test_a_server_that_accepts_and_says_nothing() -> None:
    with serve({"/live": Request.hold}) as address, pytest.raises(SourceError, match=r"no answer for 1 s"):
        NetworkStream(f"{address}/live", HASTY_S)


def test_a_playlist_may_not_lead_to_files_of_this_machine(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.ts")

    def playlist(segment: str) -> bytes:
        return f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:3,\n{segment}\n#EXT-X-ENDLIST\n".encode()

    routes = {
        "/evil.m3u8": recording(playlist(clip.as_uri())),
        "/good.m3u8": recording(playlist("a.ts")),
        "/a.ts": recording(clip.read_bytes()),
    }
    with serve(routes) as address:
        assert len(read(NetworkStream(f"{address}/good.m3u8", PATIENT_S))[0]) == 30
        with pytest.raises(SourceError):
            NetworkStream(f"{address}/evil.m3u8", PATIENT_S)


def test_what_is_wrong_is_said_without_credentials(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    routes = {
        "/text": recording(b"hello\n" * 100),
        "/empty": recording(b""),
        "/secret": lambda request: request.head(401, WWW_Authenticate="Basic", Content_Length="0"),
        "/silent": Request.hold,
    }
    with serve(routes) as address:
        cases = [
            (f"{address}/text", NoVideoError, "no video"),
            (f"{address}/empty", NoVideoError, "no video"),
            (f"{address}/secret", SourceError, "refuses: .*401.*check user and password"),
            (f"{address}/silent?token={SECRET}", SourceError, "no answer"),
            (f"{address}/nowhere?token={SECRET}", SourceNotFoundError, "404"),
            (f"http://127.0.0.1:{port}/x", SourceNotFoundError, "refused"),
            (f"rtsp://127.0.0.1:{port}/x", SourceNotFoundError, "refused"),
            (f"ftp://127.0.0.1:{port}/x", UsageError, "no network stream"),
        ]
        for uri, kind, text in cases:
            with pytest.raises(kind, match=text) as caught:
                NetworkStream(uri.replace("://", f"://admin:{SECRET}@"), HASTY_S if "silent" in uri else PATIENT_S)
            told = "".join(traceback.format_exception(caught.value))
            assert SECRET not in told
            assert "***@127.0.0.1" in str(caught.value)
            assert "\n" not in str(caught.value)


def bare_parts(kind: str, head: str) -> Route:
    """Pictures of a camera that neglects the rules for their parts."""

    def route(request: Request) -> None:
        request.head(Content_Type=kind)
        for index in range(5):
            request.wfile.write(head.encode() + cv2.imencode(".jpg", picture(index))[1].tobytes() + b"\r\n")

    return route


@pytest.mark.parametrize("kind", ["multipart/x-mixed-replace; boundary=frame", "multipart/x-mixed-replace"])
@pytest.mark.parametrize(
    "head", ["--frame\r\n\r\n", "--frame\r\nContent-Type: image/jpg\r\n\r\n", "Content-Type: image/jpeg\r\n\r\n"]
)
def test_motion_jpeg_whose_parts_lack_boundary_or_type(kind: str, head: str) -> None:
    with serve({"/mjpeg": bare_parts(kind, head)}) as address:
        source = open_stream(f"{address}/mjpeg", Options(timeout_s=PATIENT_S))
        assert source.live
        frames, error = read(source)
    assert len(frames) == 5
    assert frames[0].size == (HEIGHT, WIDTH)
    assert isinstance(error, SourceLostError)


@pytest.mark.parametrize("secret", ["p#ss", "p/ss", "p?ss", "p%ss"])
def test_a_password_that_is_not_escaped_is_answered_with_how(secret: str) -> None:
    for scheme in ("rtsp", "http", "rtmp"):
        with pytest.raises(
            UsageError, match=r"a user or password holds '[#/?%]'; in a user or password write %40 for an at sign"
        ) as caught:
            NetworkStream(f"{scheme}://user:{secret}@127.0.0.1:1/x", HASTY_S)
        assert secret not in str(caught.value)


def test_a_password_that_looks_like_a_port_is_thought_of() -> None:
    with pytest.raises(SourceError, match=r"if a password is meant, in a user or password write %40"):
        NetworkStream("rtsp://127.0.0.1:1/2@127.0.0.1:1/x", HASTY_S)
