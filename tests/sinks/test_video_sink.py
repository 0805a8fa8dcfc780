"""Recordings: every frame, right colours and times, playable whatever happens."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from sink_results import decoded, fares, make_result

from drivenet.overlay import lost_view
from drivenet.result import Totals
from drivenet.sinks.video import VideoSink

_SUFFIXES = pytest.mark.parametrize("suffix", [".mp4", ".mkv"])


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
