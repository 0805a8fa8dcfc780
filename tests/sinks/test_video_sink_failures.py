"""Recorded videos: frames of other sizes, files that are gone, kills and full disks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import pytest
from sink_results import decoded, fares, make_result

from drivenet.errors import SinkError
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


def _playable(path: Path) -> int:
    """Frames before the torn end of a file."""
    played = 0
    with av.open(str(path)) as container, contextlib.suppress(av.InvalidDataError):
        for _ in container.decode(video=0):
            played += 1
    return played


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
