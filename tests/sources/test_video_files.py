"""Video files: times, rates and names, and what is said of files that cannot be read."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from source_clips import FPS, HEIGHT, WIDTH, as_ordinary_user, write_clip
from source_servers import serve

from drivenet.errors import NoVideoError, SourceError, SourceNotFoundError
from drivenet.sources.video import VideoFile


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
