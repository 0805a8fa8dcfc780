"""Recordings: every frame, right colours and times, playable whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from sink_results import fares, make_result

from drivenet.errors import SinkError
from drivenet.frame import Image
from drivenet.overlay import lost_view
from drivenet.result import Totals
from drivenet.sinks.video import CODINGS, VideoSink

_SUFFIXES = pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
_RECORDER = """
import sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from drivenet.errors import SinkError
from drivenet.result import Totals
from drivenet.sinks.video import VideoSink
noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
def result(index):
    frame = SimpleNamespace(index=index, captured_ns=index * 100_000_000, media_ns=None)
    return SimpleNamespace(frame=frame, view=np.roll(noise, index, axis=1))
sink = VideoSink(Path(sys.argv[1]), fps=float(sys.argv[2]))
"""


def decoded(path: Path) -> list[tuple[float, Image]]:
    """Seconds and BGR picture of every frame."""
    with av.open(str(path)) as container:
        return [(float(f.time or 0), f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]


def _playable(path: Path) -> int:
    """Frames before the torn end of a file."""
    played = 0
    with av.open(str(path)) as container, contextlib.suppress(av.InvalidDataError):
        for _ in container.decode(video=0):
            played += 1
    return played


@_SUFFIXES
def test_every_frame_is_there_at_its_size_colour_and_time(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "deep" / f"out{suffix}"
    sink = VideoSink(path, fps=25)
    for index in range(40):
        sink.publish(make_result(index, colour=(40, 90, 200)))
    sink.close(Totals())
    frames = decoded(path)
    assert len(frames) == 40
    assert [t for t, _ in frames] == pytest.approx([i / 25 for i in range(40)], abs=6e-4)
    assert {p.shape for _, p in frames} == {(48, 64, 3)}
    assert np.abs(frames[20][1].astype(int) - (40, 90, 200)).max() <= 6


def test_the_stream_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, fps=30000 / 1001)
    for index in range(31):
        sink.publish(make_result(index))
    sink.close(Totals())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.colorspace, context.color_range) == ("h264", "yuv420p", 6, 1)
        assert stream.average_rate == Fraction(30000, 1001)
        keyframes = [p.pts for p in container.demux(stream) if p.is_keyframe and p.size]
    assert len(keyframes) == 2  # one a second


@pytest.mark.parametrize(("size", "recorded"), [((47, 63), (48, 64)), ((49, 64), (50, 64)), ((1, 1), (2, 2))], ids=str)
def test_an_odd_picture_is_widened_by_its_edge(
    tmp_path: Path, size: tuple[int, int], recorded: tuple[int, int]
) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, fps=10)
    sink.publish(make_result(0, size=size))
    sink.close(Totals())
    ((_, picture),) = decoded(path)
    assert picture.shape[:2] == recorded
    assert np.abs(picture[-1, -1].astype(int) - (40, 90, 200)).max() <= 6


def test_dropped_frames_leave_their_time_and_indices_that_start_again_go_on(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, fps=10)
    for index in (5, 6, 9, 0, 1, 20):
        sink.publish(make_result(index))
    sink.close(Totals())
    assert [t for t, _ in decoded(path)] == pytest.approx([0, 0.1, 0.4, 0.5, 0.6, 1.5], abs=1e-3)


@_SUFFIXES
def test_a_recording_keeps_the_times_of_another_one(tmp_path: Path, suffix: str) -> None:
    """Day at 30 a second, a gap, and night at 15: 24.6 on average. Stamps that tremble a little are made steady."""
    path, times = tmp_path / f"out{suffix}", [*(n / 30 for n in range(31)), *(3 + n / 15 for n in range(16))]
    sink = VideoSink(path, fps=24.6)
    for index, seconds in enumerate(times):
        result = make_result(index)
        if index != 7:  # it was dropped
            sink.publish(replace(result, frame=replace(result.frame, media_ns=round(seconds * 1e9))))
    sink.close(Totals())
    shown = [t for t, _ in decoded(path)]
    assert shown == pytest.approx(times[:7] + times[8:], abs=0.11 / 24.6)


@_SUFFIXES
def test_bursts_between_long_pauses_keep_their_times(tmp_path: Path, suffix: str) -> None:
    """Thirty a second while something moves and one in five seconds else: a mean rate of 1.4, which nothing keeps."""
    path, times = tmp_path / f"out{suffix}", [*(n / 30 for n in range(10)), *(5.0 * n for n in range(1, 8))]
    sink = VideoSink(path, fps=1.4)
    for index, seconds in enumerate(times):
        result = make_result(index)
        sink.publish(replace(result, frame=replace(result.frame, media_ns=round(seconds * 1e9))))
    sink.close(Totals())
    assert [t for t, _ in decoded(path)] == pytest.approx(times, abs=1.1e-3)


@_SUFFIXES
@pytest.mark.parametrize("seconds", [1, 60, 3600, 86_400])
def test_a_time_lapse_keeps_its_times(tmp_path: Path, suffix: str, seconds: int) -> None:
    path = tmp_path / f"out{suffix}"
    sink = VideoSink(path, fps=1 / seconds)
    for index in range(4):
        result = make_result(index)
        sink.publish(replace(result, frame=replace(result.frame, media_ns=index * seconds * 10**9)))
    sink.close(Totals())
    shown = [t for t, _ in decoded(path)]
    for index in range(4):
        assert min(abs(t - index * seconds) for t in shown) < 2e-3
    assert shown[-1] == pytest.approx(3 * seconds, abs=2e-3)


@_SUFFIXES
@pytest.mark.parametrize("rate", [25.0, 30.0, 24000 / 1001, 60.0])
def test_a_recording_of_a_steady_one_is_steady(tmp_path: Path, suffix: str, rate: float) -> None:
    """Matroska's stamps are whole milliseconds."""
    path = tmp_path / f"out{suffix}"
    sink = VideoSink(path, fps=rate)
    for index in range(48):
        result = make_result(index)
        sink.publish(replace(result, frame=replace(result.frame, media_ns=round(index * 1000 / rate) * 10**6)))
    sink.close(Totals())
    assert [t for t, _ in decoded(path)] == pytest.approx([n / rate for n in range(48)], abs=6e-4)
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate or 0) == pytest.approx(rate, rel=1e-4)


@_SUFFIXES
def test_a_live_source_keeps_its_capture_times(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    sink = VideoSink(path, fps=0)
    for index, ms in enumerate((0, 33, 90, 90, 1200, 1233)):  # two frames stamped alike stay in order
        sink.publish(make_result(index, captured_ns=10**9 + ms * 10**6))
    sink.close(Totals())
    assert [t for t, _ in decoded(path)] == pytest.approx([0, 0.033, 0.09, 0.091, 1.2, 1.233], abs=1.1e-3)


@_SUFFIXES
def test_a_live_recording_has_the_rate_of_its_camera_and_not_another_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    sink = VideoSink(path, fps=0)
    for index in range(30):
        sink.publish(make_result(index, captured_ns=10**9 + index * 10**8))
    sink.close(Totals())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stated = 24 if av.__version__.startswith("17.") and suffix == ".mkv" else 10  # 17 has no way to state none
        assert stream.guessed_rate == stated
        assert stream.average_rate is None or float(stream.average_rate) == pytest.approx(stated, rel=0.05)
        assert container.duration == pytest.approx(2_933_333, abs=1000)  # the last one is seen, too
    assert len(decoded(path)) == 30


@_SUFFIXES
def test_a_name_with_a_colon_is_a_file_and_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = VideoSink(Path(f"12:30:59{suffix}"), fps=10)
    sink.publish(make_result())
    sink.close(Totals())
    assert len(decoded(tmp_path / f"12:30:59{suffix}")) == 1


def test_while_a_live_source_is_lost_the_recording_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, fps=0)
    result = make_result(0, size=(96, 128), captured_ns=10**9)
    assert result.view is not None
    assert sink.marked(result.view, fares("lost", 1.0)) is False  # before the first frame there is nothing to mark
    sink.publish(result)
    monkeypatch.setattr("drivenet.sinks.video.now_ns", lambda: 3 * 10**9)
    assert sink.marked(lost_view(result.view, 2.0), fares("lost", 2.0)) is True
    sink.publish(make_result(1, size=(96, 128), captured_ns=4 * 10**9))
    sink.close(Totals())
    (_, first), (at, marked), (_, last) = decoded(path)
    assert at == pytest.approx(2.0, abs=1e-3)
    assert np.ptp(first[5, 5].astype(int)) > 100
    assert np.ptp(marked[5, 5].astype(int)) < 12
    assert np.ptp(last[5, 5].astype(int)) > 100


_UNCODED = {suffix: replace(coding, codec="libx264_of_another_build") for suffix, coding in CODINGS.items()}


class _Uncoded(VideoSink):
    """On an FFmpeg that was built without the encoder."""

    codings = _UNCODED


@_SUFFIXES
def test_without_an_encoder_neither_files_nor_descriptors_are_left(tmp_path: Path, suffix: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        sink = _Uncoded(tmp_path / f"out{suffix}")
        with pytest.raises(ValueError, match="libx264_of_another_build"):
            sink.publish(make_result())
        sink.close(Totals())
    assert (list(tmp_path.iterdir()), len(os.listdir("/proc/self/fd"))) == ([], before)


def test_a_recorded_source_has_no_lost_pictures(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, fps=10)
    result = make_result(0)
    assert result.view is not None
    sink.publish(result)
    sink.marked(result.view, fares("lost", 3.0))
    sink.close(Totals())
    assert len(decoded(path)) == 1


@_SUFFIXES
def test_a_frame_of_another_size_goes_to_the_next_file_and_both_play(tmp_path: Path, suffix: str) -> None:
    sink = VideoSink(tmp_path / f"out{suffix}", fps=10)
    for index, size in enumerate([(48, 64), (48, 64), (60, 80), (48, 64)]):
        sink.publish(make_result(index, size=size))
    sink.close(Totals())
    played = [
        [p.shape[:2] for _, p in decoded(tmp_path / name)] for name in (f"out{n}{suffix}" for n in ("", "-2", "-3"))
    ]
    assert played == [[(48, 64), (48, 64)], [(60, 80)], [(48, 64)]]


def test_a_result_without_a_picture_is_an_error(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4", fps=10)
    with pytest.raises(SinkError, match="frame 4 came without a picture"):
        sink.publish(make_result(4, view=False))
    sink.close(Totals())
    assert not list(tmp_path.iterdir())


def test_a_size_that_cannot_be_encoded_leaves_no_file(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4", fps=10)
    with pytest.raises(SinkError, match=r"H\.264 cannot hold a frame of 20000x2; write pictures: --out .*/out/"):
        sink.publish(make_result(0, size=(2, 20000)))
    sink.close(Totals())
    assert not list(tmp_path.iterdir())


def test_an_earlier_file_stands_until_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("precious")
    VideoSink(path, fps=10).close(Totals())
    assert path.read_text() == "precious"


@_SUFFIXES
@pytest.mark.parametrize("fps", [10, 0])
@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_recording_that_is_gone_at_its_end_is_a_sink_error(
    tmp_path: Path, suffix: str, fps: float, replaced: bool
) -> None:
    path = tmp_path / f"out{suffix}"
    sink = VideoSink(path, fps=fps)
    for index in range(3):
        sink.publish(make_result(index, captured_ns=10**9 + index * 10**8))
    path.unlink()
    if replaced:
        path.write_text("another")
    with pytest.raises(SinkError, match=rf"out\{suffix} was removed or replaced while it was written; leave it"):
        sink.close(Totals())
    assert not replaced or path.read_text() == "another"


@_SUFFIXES
def test_a_pipe_need_not_be_there_at_the_end(tmp_path: Path, suffix: str) -> None:
    path, taken = tmp_path / f"out{suffix}", tmp_path / "taken"
    os.mkfifo(path)
    with taken.open("wb") as file, subprocess.Popen(["cat", str(path)], stdout=file) as reader:
        sink = VideoSink(path, fps=10)
        for index in range(3):
            sink.publish(make_result(index))
        path.unlink()
        sink.close(Totals())
        assert reader.wait(60) == 0
    assert len(decoded(taken)) == 3


@pytest.mark.parametrize("frames", [0, 1])
def test_a_closed_sink_says_so(tmp_path: Path, frames: int) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, fps=10)
    for index in range(frames):
        sink.publish(make_result(index))
    sink.close(Totals())
    with pytest.raises(SinkError, match=r"out\.mp4 is closed$"):
        sink.publish(make_result(frames))
    sink.close(Totals())
    assert path.exists() == bool(frames)


@_SUFFIXES
@pytest.mark.parametrize("fps", ["10", "0"])
def test_a_kill_leaves_all_but_the_last_second(tmp_path: Path, suffix: str, fps: str) -> None:
    path = tmp_path / f"out{suffix}"
    code = _RECORDER + (
        "for index in range(60): sink.publish(result(index))\nprint('recorded', flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(path), fps]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as recorder:
        assert recorder.stdout
        assert recorder.stdout.readline() == "recorded\n"
        recorder.send_signal(signal.SIGKILL)
    frames = decoded(path)
    assert 50 <= len(frames) <= 60
    assert [t for t, _ in frames] == pytest.approx([i / 10 for i in range(len(frames))], abs=1e-3)


@_SUFFIXES
def test_a_disk_that_fills_up_is_one_sink_error_and_leaves_what_fitted(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    code = _RECORDER + (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
        "try:\n    for index in range(200): sink.publish(result(index))\n"
        "except SinkError as error:\n    print(error)\n"
        "sink.close(Totals())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path), "10"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {path}: ")
    assert done.stdout.count("\n") == 1
    assert 10 <= _playable(path) < 200
