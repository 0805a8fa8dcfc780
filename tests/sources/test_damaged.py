"""Damaged pictures and missing pieces: said, counted, and passed over where that is asked for."""

from __future__ import annotations

import logging
import random
import re
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
from source_clips import read, write_clip
from source_servers import recording, serve

from drivenet.errors import SourceLostError
from drivenet.sources.stream import NetworkStream
from drivenet.sources.video import VideoFile
from drivenet.sources.waiting import Waiting


def spoil(path: Path, seed: int = 3, at: float = 0.5, length: int = 3000) -> Path:
    """Overwrite a stretch of a file."""
    data, start = bytearray(path.read_bytes()), round(at * path.stat().st_size)
    data[start : start + length] = random.Random(seed).randbytes(length)
    path.write_bytes(data)
    return path


def zero_a_jpeg(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    starts = [m.start() for m in re.finditer(b"\xff\xd8\xff", data)]
    data[starts[15] : starts[15] + 900] = bytes(900)
    path.write_bytes(data)
    return path


def without_packets(source: Path, target: Path, lost: set[int]) -> Path:
    """Copy a clip without some of its packets."""
    with av.open(str(source)) as read_from, av.open(str(target), "w") as container:
        stream = read_from.streams.video[0]
        copy = container.add_stream_from_template(stream)
        for number, packet in enumerate(read_from.demux(stream)):
            if packet.dts is not None and number not in lost:
                packet.stream = copy
                container.mux(packet)
    return target


def damaged(folder: Path, kind: str) -> Path:
    if kind == "mjpeg":
        return zero_a_jpeg(write_clip(folder / "a.avi", codec="mjpeg"))
    if kind == "h264":
        return spoil(write_clip(folder / "a.mp4"))
    return without_packets(hevc(folder / "whole.mp4"), folder / "a.mp4", {25, 26})


def hevc(path: Path) -> Path:
    """A clip of 60 pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=10, options={"x265-params": "log-level=none:keyint=20:bframes=2"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(60):
            frame = av.VideoFrame(160, 120, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([index * 4]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("kind", ["mjpeg", "h264", "hevc"])
def test_damage_in_the_middle_ends_a_recording_or_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    if kind == "hevc" and "libx265" not in av.codecs_available:
        pytest.skip("needs libx265 in PyAV")
    path = damaged(tmp_path, kind)
    before, error = read(VideoFile(path))
    assert isinstance(error, SourceLostError)
    assert str(error).endswith("; drivenet run --damaged skip leaves damaged pictures out and goes on")
    source = VideoFile(path, damaged="skip")
    with caplog.at_level(logging.WARNING):
        frames, error = read(source)
    assert error is None
    assert len(before) < len(frames)
    packets = 30 if kind != "hevc" else 58
    assert len(frames) + source.losses.damaged == packets
    count = source.losses.damaged
    assert f"{count} picture{'s' * (count > 1)} lost since it was opened" in caplog.text


def test_a_good_recording_has_lost_nothing(tmp_path: Path) -> None:
    for name, codec in (("a.mp4", "libx264"), ("a.webm", "libvpx"), ("b.webm", "libvpx-vp9")):
        source = VideoFile(write_clip(tmp_path / name, codec=codec))
        assert len(read(source)[0]) == 30
        assert not source.losses


def test_what_a_phone_trimmed_off_a_recording_is_no_loss(tmp_path: Path) -> None:
    """The pictures stay in the file, which says to show the first 45 of 60: a run ended with 15 of them as lost."""
    if "libx265" not in av.codecs_available:
        pytest.skip("needs libx265 in PyAV")
    path = hevc(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    duration = data.index(b"elst") + 12  # after the name, the version and the count
    struct.pack_into(">I", data, duration, struct.unpack_from(">I", data, duration)[0] * 45 // 60)
    path.write_bytes(data)
    source = VideoFile(path)
    frames, error = read(source)
    assert (len(frames), error, source.losses.damaged) == (45, None, 0)


def matroska(path: Path, times: Sequence[int], last: int = 1) -> Path:
    """Pictures at so many tenths of a second, with a cluster a second; the last one is shown for so many."""
    with av.open(str(path), "w", options={"cluster_time_limit": "1000"}) as container:
        stream = container.add_stream("libx264", rate=10, options={"tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 10
        stream.codec_context.time_base = Fraction(1, 10)
        for at in times:
            picture = av.VideoFrame(64, 48, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([at]) * plane.buffer_size)
            picture.pts = at
            for packet in stream.encode(picture):
                packet.duration = last if at == times[-1] else 1
                container.mux(packet)
    return path


def test_a_matroska_whose_last_clusters_cannot_be_read(tmp_path: Path) -> None:
    """FFmpeg looks for another cluster up to the end of the file, which looks like any other end."""
    path = matroska(tmp_path / "a.mkv", range(50))
    held = path.read_bytes()
    clusters = [found.start() for found in re.finditer(rb"\x1f\x43\xb6\x75", held)]
    assert len(clusters) == 5
    path.write_bytes(held[: clusters[2]] + bytes(len(held) - clusters[2]))
    seen = []
    with VideoFile(path) as source, pytest.raises(SourceLostError) as error:
        seen.extend(frame.index for frame in source)
    assert f"is cut short after {len(seen)} frames" in str(error.value)
    assert "expected 5.0 s, as its tag states" in str(error.value)


def test_a_matroska_whose_last_picture_is_shown_for_long(tmp_path: Path) -> None:
    """As a recorder of a still screen writes them."""
    with VideoFile(matroska(tmp_path / "a.mkv", (0, 1, 90), last=300)) as source:
        assert len(list(source)) == 3


def packet_at(pts: int) -> av.Packet:
    packet = av.Packet(b"picture")
    packet.pts = pts
    return packet


def test_pictures_are_owed_in_the_order_they_are_shown() -> None:
    waiting = Waiting()
    for pts in (0, 3, 1, 2, 4):
        waiting.sent(packet_at(pts))
    assert [waiting.came(pts) for pts in (0, 1, 3)] == [0, 0, 1]
    assert waiting.left() == 1
    joined_late = Waiting()
    for pts in (0, 1, 2):
        joined_late.sent(packet_at(pts))
    assert joined_late.came(2) == 0, "whoever joins in mid-stream is owed nothing from before"


def playlist(pieces: list[str]) -> bytes:
    rows = "".join(f"#EXTINF:1.0,\n{piece}\n" for piece in pieces)
    return f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n{rows}#EXT-X-ENDLIST\n".encode()


def segments(folder: Path, name: str, size: tuple[int, int]) -> dict[str, bytes]:
    """Six pieces of a second of one transport stream, and their playlist."""
    with av.open(str(folder / f"{name}.m3u8"), "w", format="hls", options={"hls_time": "1", "hls_list_size": "0"}) as c:
        stream = c.add_stream("libx264", rate=10, options={"g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(60):
            frame = av.VideoFrame(*size, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([index * 4]) * plane.buffer_size)
            c.mux(stream.encode(frame))
        c.mux(stream.encode())
    return {f"/{file.name}": file.read_bytes() for file in folder.glob(f"{name}*.ts")}


def test_a_missing_piece_of_a_playlist_is_said_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pieces = segments(tmp_path, "lo", (160, 120))
    names = ["lo0.ts", "lo1.ts", "gone.ts", "lo3.ts", "lo4.ts", "lo5.ts"]
    routes = {path: recording(data) for path, data in pieces.items()} | {"/a.m3u8": recording(playlist(names))}
    with serve(routes) as address, caplog.at_level(logging.WARNING):
        source = NetworkStream(f"{address}/a.m3u8", 20)
        frames, error = read(source)
    assert error is None
    assert len(frames) == 50
    assert source.losses.missing_s == pytest.approx(1.0, abs=0.15)
    assert "1.0 s are missing after" in caplog.text


def test_only_the_quality_that_is_shown_is_loaded(tmp_path: Path) -> None:
    asked: list[str] = []

    def noted(path: str, data: bytes):  # type: ignore[no-untyped-def]
        def route(request):  # type: ignore[no-untyped-def]
            asked.append(path)
            recording(data)(request)

        return route

    routes = {}
    for name, size in (("lo", (160, 120)), ("hi", (320, 240))):
        for path, data in segments(tmp_path, name, size).items():
            routes[path] = noted(path, data)
        routes[f"/{name}.m3u8"] = noted(f"/{name}.m3u8", playlist([f"{name}{i}.ts" for i in range(6)]))
    streams = "".join(f"#EXT-X-STREAM-INF:BANDWIDTH={b}\n{n}.m3u8\n" for b, n in ((200000, "lo"), (800000, "hi")))
    routes["/master.m3u8"] = recording(f"#EXTM3U\n{streams}".encode())
    with serve(routes) as address:
        source = NetworkStream(f"{address}/master.m3u8", 20)
        assert source.size == (240, 320)
        assert len(read(source)[0]) == 60
    assert sum(path.startswith("/hi") and path.endswith(".ts") for path in asked) >= 6
    assert sum(path.startswith("/lo") and path.endswith(".ts") for path in asked) < 6, (
        "a part is read to find out what there is"
    )
