"""Video files: their pictures, colours, turns and damage."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from source_clips import FPS, HEIGHT, WIDTH, cut, picture, read, remux, write_clip, write_tone

from drivenet.errors import NoVideoError, SourceError, SourceLostError
from drivenet.latency import now_ns
from drivenet.sources.video import VideoFile


def test_every_picture_comes_in_order_with_its_capture_time(tmp_path: Path) -> None:
    started = now_ns()
    source = VideoFile(write_clip(tmp_path / "a.mp4"))
    assert (source.fps, source.frames, source.size) == (FPS, 30, (HEIGHT, WIDTH))
    assert not source.live
    frames = list(source)
    assert [f.index for f in frames] == list(range(30))
    times = [started, *(f.captured_ns for f in frames), now_ns()]
    assert times == sorted(times)
    for frame in frames:
        assert abs(float(frame.image.mean()) - float(picture(frame.index).mean())) < 4


@pytest.mark.parametrize("cores", [1, 8])
def test_pictures_are_the_same_whatever_threads_decode_them(
    cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    with av.open(str(clip)) as container:
        wanted = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    monkeypatch.setattr("drivenet.sources.video.physical_cores", lambda: cores)
    found = [frame.image for frame in VideoFile(clip)]
    np.testing.assert_array_equal(found, wanted)


def test_colours_are_bgr(tmp_path: Path) -> None:
    frame = next(iter(VideoFile(write_clip(tmp_path / "a.mp4", frames=1))))
    blue, green, red = frame.image[: HEIGHT // 3, : WIDTH // 3].reshape(-1, 3).mean(0)
    assert red > 230
    assert max(blue, green) < 25


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [Colorspace.ITU709, Colorspace.ITU601])
def test_colours_follow_the_matrix_and_the_range_of_the_stream(tmp_path: Path, matrix: Colorspace, full: bool) -> None:
    shown = np.empty((48, 64, 3), np.uint8)
    shown[:] = (60, 120, 200)
    colour_range = ColorRange.JPEG if full else ColorRange.MPEG
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, colour_range
        frame = av.VideoFrame.from_ndarray(shown, format="bgr24").reformat(
            format="yuv444p", dst_colorspace=matrix, dst_color_range=colour_range
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    decoded = next(iter(VideoFile(tmp_path / "a.mp4"))).image
    assert np.abs(decoded.astype(int) - shown).max() <= 3


def test_colours_that_cannot_be_converted_are_refused_on_opening(tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "a.mkv", frames=2)
    strange = remux(plain, tmp_path / "b.mkv", "h264_metadata=matrix_coefficients=8")
    with pytest.raises(SourceError, match=r"b\.mkv has colours that cannot be converted \(yuv420p with matrix 8\)"):
        VideoFile(strange)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
def test_containers(tmp_path: Path, name: str) -> None:
    assert len(list(VideoFile(write_clip(tmp_path / name, sound=True)))) == 30


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_pictures_are_turned_upright_as_opencv_does(tmp_path: Path, rotation: int) -> None:
    path = write_clip(tmp_path / "turned.mp4", frames=2, rotation=rotation)
    source = VideoFile(path)
    good, expected = cv2.VideoCapture(str(path)).read()
    frame = next(iter(source))
    assert good
    assert source.size == frame.size == expected.shape[:2]
    assert np.abs(frame.image.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("matrix", "flip"),
    [
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
        ((0, 0, 0, 0), lambda image: image),
    ],
    ids=["left-right", "upside-down", "transposed", "transversed", "nothing"],
)
def test_pictures_are_mirrored_as_their_mark_says(
    tmp_path: Path, matrix: tuple[int, ...], flip: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=2)
    expected = flip(next(iter(VideoFile(path))).image)
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 44  # where the track's matrix stands
    a, b, c, d = (n << 16 for n in matrix)
    data[header : header + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    source = VideoFile(path)
    assert source.size == expected.shape[:2]
    assert all(frame.size == source.size for frame in source)
    assert np.array_equal(next(iter(VideoFile(path))).image, expected)


def test_a_mark_inside_the_stream_holds_until_the_next_key_frame(tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "a.h264", frames=10)
    marked = remux(plain, tmp_path / "b.h264", "h264_metadata=display_orientation=insert:rotate=90")
    both = tmp_path / "c.h264"
    both.write_bytes(marked.read_bytes() + plain.read_bytes())
    assert [f.size for f in VideoFile(both)] == [(WIDTH, HEIGHT)] * 10 + [(HEIGHT, WIDTH)] * 10


def test_pictures_with_exif_are_turned_too(tmp_path: Path) -> None:
    _, jpeg = cv2.imencode(".jpg", picture(0))
    turned = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = jpeg.tobytes()
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(turned) + 2) + turned + data[2:]
    (tmp_path / "a.mjpeg").write_bytes(data * 3)
    assert [f.size for f in VideoFile(tmp_path / "a.mjpeg")] == [(WIDTH, HEIGHT)] * 3


def test_widths_that_ffmpeg_pads(tmp_path: Path) -> None:
    assert next(iter(VideoFile(write_clip(tmp_path / "a.mp4", frames=1, size=(854, 48))))).size == (48, 854)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("faststart.mp4", "libx264", {"movflags": "faststart"}),
        ("fragmented.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mkv", "libx264", {}),
        ("a.avi", "mjpeg", {}),
    ],
)
def test_a_file_cut_short_yields_what_it_holds_and_says_so(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = write_clip(tmp_path / name, codec=codec, **options)
    assert len(list(VideoFile(path))) == 30
    frames, error = read(VideoFile(cut(path)))
    assert isinstance(error, SourceLostError)
    assert 5 <= len(frames) < 30  # an encoder may spend half of the bytes on the first of them
    assert f"is cut short after {len(frames)} frames" in str(error)


def test_a_plain_mp4_without_its_end_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(NoVideoError, match="lost its index"):
        VideoFile(cut(write_clip(tmp_path / "a.mp4")))


def test_a_recording_that_was_never_finished_just_ends(tmp_path: Path) -> None:
    path = cut(write_clip(tmp_path / "a.mkv", live="1"))
    assert 12 <= len(list(VideoFile(path))) < 30


def test_a_playlist_that_was_never_finished_gives_all_it_names(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.m3u8", frames=50, hls_time="1", hls_list_size="0")
    path.write_text(path.read_text().replace("#EXT-X-ENDLIST", ""))
    assert len(list(VideoFile(path))) == 50


def test_damage_in_the_middle_ends_the_file_as_lost(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    start = data.index(packets[10])
    data[start : start + 200] = bytes(200)
    path.write_bytes(data)
    frames, error = read(VideoFile(path))
    assert isinstance(error, SourceLostError)
    assert [f.index for f in frames] == list(range(10))
    assert "failed after 10 frames: invalid data" in str(error)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        write_tone(container, seconds=1)
    with pytest.raises(NoVideoError, match="sound but no video"):
        VideoFile(path)
