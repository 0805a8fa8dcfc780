"""Video files: what is read, and what is said of files that cannot be read."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from source_clips import FPS, HEIGHT, WIDTH, as_ordinary_user, cut, picture, read, remux, write_clip, write_tone
from source_servers import serve

from drivenet.errors import NoVideoError, SourceError, SourceLostError, SourceNotFoundError
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


def test_the_cover_of_a_song_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("mp3", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        container.mux(cover.encode(av.VideoFrame(64, 48, "yuvj420p")))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format="fltp", layout="mono")
        silence.sample_rate, silence.pts = 16000, 0
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    with av.open(str(path)) as container:
        assert container.streams.video
    with pytest.raises(NoVideoError, match="sound but no video"):
        VideoFile(path)


def test_one_tile_of_a_picture_is_not_the_picture() -> None:
    with pytest.raises(NoVideoError, match=r"is a picture in 4 tiles .*; convert it to JPEG or PNG"):
        VideoFile(Path(__file__).parents[1] / "fixtures" / "tiles.avif")


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.ts", "a.flv"])
def test_a_rate_that_is_kept_stays_as_stated(tmp_path: Path, name: str) -> None:
    codec = "libvpx" if name == "a.webm" else "libx264"
    assert VideoFile(write_clip(tmp_path / name, codec=codec)).fps == FPS


def test_a_stated_rate_that_the_pictures_do_not_keep(tmp_path: Path) -> None:
    assert VideoFile(write_clip(tmp_path / "a.mkv", stated=30, ticks=1000)).fps == pytest.approx(FPS)
    late = write_clip(tmp_path / "b.mkv", stated=30, ticks=1000, at=lambda index: index + 600 * (index >= 20))
    assert VideoFile(late).fps == pytest.approx(FPS)  # a gap is no slow picture


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
def test_pictures_have_the_times_at_which_they_are_shown(tmp_path: Path, name: str) -> None:
    """Ten a second, then five, with gaps of seconds and of a minute.

    The times of a transport stream may leap where several were put together: a minute is taken for such a seam there.
    """
    frame_times = [n if n < 10 else 2 * n - 10 + 40 * (n > 19) + 600 * (n > 24) for n in range(30)]
    source = VideoFile(write_clip(tmp_path / name, at=lambda n: float(frame_times[n]), ticks=1000))
    shown = [(f.media_ns or 0) / 1e9 for f in source]
    wanted = np.array([t / FPS for t in frame_times])
    if name == "a.ts":
        wanted[25:] += shown[24] + 1 / source.fps - wanted[25]
    assert shown == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("seconds", [1, 60, 86_400])
def test_a_time_lapse_has_its_own_times(tmp_path: Path, seconds: int) -> None:
    source = VideoFile(write_clip(tmp_path / "a.mkv", frames=12, at=lambda n: float(n * seconds * FPS), ticks=1))
    shown = [(f.media_ns or 0) / 1e9 for f in source]
    assert shown == pytest.approx([n * seconds for n in range(12)], abs=1e-3)


def test_a_clock_that_was_set_by_decades_is_no_pause(tmp_path: Path) -> None:
    """A recorder that learns what year it is while it records; a video of it would hold still for as long."""
    decades = 50 * 366 * 86_400 * FPS
    path = write_clip(tmp_path / "a.mkv", frames=12, ticks=1000, at=lambda n: float(n + decades * (n > 5)))
    shown = [(f.media_ns or 0) / 1e9 for f in VideoFile(path)]
    assert shown == pytest.approx([n / FPS for n in range(12)], abs=1e-3)


def test_pictures_without_stamps_are_a_frame_apart(tmp_path: Path) -> None:
    source = VideoFile(write_clip(tmp_path / "a.h264"))
    shown = [f.media_ns or 0 for f in source]
    assert np.diff(shown) / 1e9 == pytest.approx([1 / source.fps] * (len(shown) - 1), abs=1e-6)


def test_a_recording_that_states_no_rate(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.webm", codec="libvpx", ticks=1000, at=lambda index: index + (0.3 if index % 3 else 0)
    )
    data = path.read_bytes()
    header, duration = b"\x23\xe3\x83\x84", b"\xec\x86" + bytes(6)  # DefaultDuration of 4 bytes; Void of 8
    start = data.index(header)
    path.write_bytes(data[:start] + duration + data[start + 8 :])
    assert VideoFile(path).fps == pytest.approx(FPS, rel=0.03)


def test_a_video_stream_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        container.start_encoding()
    with pytest.raises(NoVideoError, match="no picture"):
        VideoFile(path)


@pytest.mark.parametrize(
    ("name", "content", "error", "text"),
    [
        ("empty.mp4", b"", NoVideoError, r"is empty \(0 bytes\)"),
        ("notes.mp4", b"hello world\n" * 50, NoVideoError, "is no video"),
        ("raw.yuv", bytes(5000), NoVideoError, "is no video"),
        ("notes.txt", b"hello world\n" * 50, NoVideoError, "is a text"),
    ],
)
def test_files_that_are_no_video(
    tmp_path: Path, name: str, content: bytes, error: type[SourceError], text: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=text) as caught:
        VideoFile(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_hints_at_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "highway.mp4").touch()
    with pytest.raises(SourceNotFoundError, match=r"did you mean .*highway\.mp4\?"):
        VideoFile(tmp_path / "higway.mp4")
    with pytest.raises(SourceNotFoundError, match="check the path"):
        VideoFile(tmp_path / "nowhere" / "a.mp4")


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("gone.mp4")
    with pytest.raises(SourceNotFoundError, match=r"a\.mp4 is a link to gone\.mp4, which is not there"):
        VideoFile(tmp_path / "a.mp4")


def test_things_that_are_no_ordinary_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(SourceError, match="no ordinary file"):
        VideoFile(tmp_path / "pipe.mp4")
    with pytest.raises(SourceError, match="is a folder"):
        VideoFile(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=1)
    path.chmod(0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # the folders above are closed to others
    with as_ordinary_user(), pytest.raises(SourceError, match=r"a\.mp4 cannot be read: permission denied"):
        VideoFile("a.mp4")


def test_a_name_with_a_colon_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "a.mp4", frames=2).rename(tmp_path / "http:a.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(list(VideoFile("http:a.mp4"))) == 2


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_a_title_in_another_encoding(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, frames=2, codec="mjpeg" if name == "a.avi" else "libx264", title="Strasse 12")
    path.write_bytes(path.read_bytes().replace(b"Strasse 12", b"Stra\xdfe  12"))
    assert len(list(VideoFile(path))) == 2


def test_a_file_may_not_lead_to_the_network(tmp_path: Path) -> None:
    asked = threading.Event()
    with serve({"/a.ts": lambda request: asked.set()}) as address:
        playlist = tmp_path / "list.m3u8"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{address}/a.ts\n#EXT-X-ENDLIST\n")
        with pytest.raises(SourceError):
            VideoFile(playlist)
    assert not asked.is_set()


def test_closing_from_another_thread_ends_the_iteration(tmp_path: Path) -> None:
    source = VideoFile(write_clip(tmp_path / "a.mp4"))
    frames = iter(source)
    next(frames)
    closer = threading.Thread(target=source.close)
    closer.start()
    closer.join()
    assert not list(frames)


def test_closing_before_reading(tmp_path: Path) -> None:
    source = VideoFile(write_clip(tmp_path / "a.mp4"))
    source.close()
    assert not list(source)
