"""Segments where something other than frames is recorded: events before the first one, pictures of a lost source."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import av
import pytest
from sink_results import fares, make_result

from drivenet.health import Event, Health, State
from drivenet.latency import now_ns
from drivenet.overlay import lost_view
from drivenet.pipeline import Pipeline
from drivenet.result import Totals
from drivenet.sinks import open_sink
from drivenet.sinks.base import Sink
from drivenet.sinks.jsonl import JsonlSink
from drivenet.sinks.recording import RecordingOptions, RecordingSession
from drivenet.sinks.recording.disk import is_being_written
from drivenet.sinks.recording.names import segments_of
from drivenet.sinks.video import VideoSink
from tests.pipeline.pipeline_parts import Drive, Engine, Keeper


def recorders(folder: Path, session: RecordingSession, fps: float) -> tuple[VideoSink, JsonlSink]:
    return VideoSink(folder / "d.mkv", fps=fps, session=session), JsonlSink(folder / "s.jsonl", session=session)


def lines_of(folder: Path) -> dict[int, list[int]]:
    """Indices of the frames by number of the segment."""
    found = {number: path.read_text().splitlines() for number, path in segments_of(folder / "s.jsonl")}
    told = {number: [json.loads(line) for line in lines] for number, lines in found.items()}
    return {number: [one["frame"] for one in lines if one["type"] == "frame"] for number, lines in told.items()}


def pictures_of(folder: Path) -> list[int]:
    """How many each segment of the video has."""
    counts = []
    for _, path in segments_of(folder / "d.mkv"):
        with av.open(str(path)) as container:
            counts.append(sum(1 for _ in container.decode(video=0)))
    return counts


def close(*sinks: Sink) -> None:
    for sink in sinks:
        sink.close(Totals())


def test_an_event_before_the_first_frame_takes_no_part_in_the_cuts_of_a_recorded_source(tmp_path: Path) -> None:
    video, stats = recorders(tmp_path, RecordingSession(RecordingOptions(segment_s=1.0), fps=10.0), 10.0)
    stats.event(Event("error", "engine.stalled", "the first inference takes long"))
    for n in range(25):
        video.publish(make_result(n))
        stats.publish(make_result(n))
    close(video, stats)
    assert lines_of(tmp_path) == {1: [*range(10)], 2: [*range(10, 20)], 3: [*range(20, 25)]}
    assert pictures_of(tmp_path) == [10, 10, 5]


def test_segments_end_while_a_live_source_is_away(tmp_path: Path) -> None:
    """Or the one that is written, which no disk budget deletes, would grow for as long as that takes."""
    video, stats = recorders(tmp_path, RecordingSession(RecordingOptions(segment_bytes=500)), 0.0)
    first = make_result(0, captured_ns=now_ns())
    assert first.view is not None
    video.publish(first)
    stats.publish(first)
    assert all(video.marked(lost_view(first.view, n), fares("lost", n)) for n in range(8))
    last = make_result(1, captured_ns=now_ns())
    video.publish(last)
    stats.publish(last)
    close(video, stats)
    pictures = pictures_of(tmp_path)
    assert len(pictures) > 3
    assert (sum(pictures), max(pictures)) == (10, 2), (
        "the encoder holds one, so that a file is seen to grow with the next"
    )
    numbers = [number for number, _ in segments_of(tmp_path / "d.mkv")]
    assert lines_of(tmp_path) == {numbers[0]: [0], numbers[-1]: [1]}


def test_a_camera_that_is_back_with_another_size_has_segments_of_its_own(tmp_path: Path) -> None:
    """Its first frame is captured before the marked picture that begins the segment, and comes after it."""
    video, stats = recorders(tmp_path, RecordingSession(RecordingOptions(segment_s=1.0)), 0.0)
    first, back = make_result(0, captured_ns=aged(2)), make_result(1, size=(96, 128), captured_ns=aged(0.5))
    later = make_result(2, size=(96, 128), captured_ns=aged(0.4))
    assert first.view is not None
    for sink in (video, stats):
        sink.publish(first)
    assert video.marked(lost_view(first.view, 1.5), fares("lost", 1.5))
    for sink in (video, stats):
        sink.publish(back)
        sink.publish(later)
        sink.publish(make_result(3, size=(96, 128), captured_ns=now_ns()))
    close(video, stats)
    assert pictures_of(tmp_path) == [1, 1, 3]
    assert lines_of(tmp_path) == {1: [0], 3: [1, 2, 3]}
    assert [number for number, _ in segments_of(tmp_path / "d.mkv")] == [1, 2, 3]


def aged(seconds: float) -> int:
    """A moment so long ago, by the monotonic clock (ns)."""
    return now_ns() - round(seconds * 1e9)


def topics_of(file: Path) -> Counter[str]:
    """How many messages of each topic a whole MCAP file holds."""
    from mcap.reader import make_reader

    with file.open("rb") as opened:
        return Counter(channel.topic for _, channel, _ in make_reader(opened).iter_messages())


@pytest.mark.parametrize(("age", "state", "ends"), [(61, "lost", True), (61, "ok", False), (1, "lost", False)])
def test_lines_end_with_their_segment_while_a_source_is_away(
    tmp_path: Path, age: float, state: State, ends: bool
) -> None:
    """A reader of finished segments waited for the next frame. No number is left out for the time between."""
    stats = JsonlSink(tmp_path / "s.jsonl", session=RecordingSession(RecordingOptions(segment_s=60.0)))
    stats.publish(make_result(0, captured_ns=aged(age)))
    for _ in range(3):
        stats.health(fares(state, 2))
    (file,) = tmp_path.iterdir()
    assert is_being_written(file) is not ends
    stats.publish(make_result(1, captured_ns=now_ns()))
    close(stats)
    assert lines_of(tmp_path) == ({1: [0, 1]} if age < 60 else {1: [0], 2: [1]})


def test_what_happens_meanwhile_goes_to_the_next_segment(tmp_path: Path) -> None:
    session = RecordingSession(RecordingOptions(segment_s=1.0))
    stats = JsonlSink(tmp_path / "s.jsonl", session=session)
    stats.publish(make_result(0, captured_ns=aged(2)))
    stats.health(fares("lost", 2))
    stats.event(Event("warning", "source.retry", "still away"))
    stats.publish(make_result(1, captured_ns=now_ns()))
    close(stats)
    assert lines_of(tmp_path) == {1: [0], 2: [1]}


def test_all_recordings_end_together_and_go_on_together(tmp_path: Path) -> None:
    pytest.importorskip("mcap.writer", reason="mcap is not installed (extra [robotics])")
    session = RecordingSession(RecordingOptions(segment_s=1.0))
    video, stats = recorders(tmp_path, session, 0.0)
    mcap = open_sink(tmp_path / "m.mcap", fps=0, session=session)
    first = make_result(0, captured_ns=aged(2))
    assert first.view is not None
    for sink in (video, mcap, stats):
        sink.publish(first)
    for sink in (stats, mcap, video):
        sink.health(fares("lost", 2))
        sink.status(Totals())
        sink.marked(lost_view(first.view, 2), fares("lost", 2))
    files = dict(segments_of(tmp_path / "m.mcap"))
    assert [is_being_written(files[n]) for n in (1, 2)] == [False, True]
    for sink in (video, mcap, stats):
        sink.publish(make_result(1, captured_ns=now_ns()))
    close(video, mcap, stats)
    assert lines_of(tmp_path) == {1: [0], 2: [1]}
    assert pictures_of(tmp_path) == [1, 2]
    assert [topics_of(files[n])["/drivenet/frame"] for n in (1, 2)] == [1, 1]
    assert all(topics_of(files[n])["/drivenet/label_info"] == 1 for n in (1, 2)), "each says what its ids mean"


@pytest.mark.parametrize("suffix", ["webm", "mov"])
def test_a_cutout_ends_with_its_segment_too(tmp_path: Path, suffix: str) -> None:
    """It holds no marked pictures: they have no classes."""
    session = RecordingSession(RecordingOptions(segment_s=1.0))
    path = tmp_path / f"c.{suffix}"
    cutout = open_sink(path, fps=0, visualize="cutout", classes=["vehicle"], session=session)
    cutout.publish(make_result(0, captured_ns=aged(2)))
    cutout.health(fares("lost", 2))
    assert not is_being_written(segments_of(path)[0][1])
    cutout.publish(make_result(1, captured_ns=now_ns()))
    close(cutout)
    assert [number for number, _ in segments_of(path)] == [1, 2]


def test_a_recorded_source_has_no_time_in_which_a_segment_could_end(tmp_path: Path) -> None:
    """A stalled engine does not cut its segments."""
    stats = JsonlSink(tmp_path / "s.jsonl", session=RecordingSession(RecordingOptions(segment_s=1.0), fps=10.0))
    for n in range(12):
        stats.publish(make_result(n, captured_ns=aged(50)))
        stats.health(fares("stalled", 3))
    close(stats)
    assert lines_of(tmp_path) == {1: [*range(10)], 2: [10, 11]}


def test_a_run_whose_source_falls_silent_closes_its_segments(tmp_path: Path) -> None:
    """Lines alone: nothing is drawn, so no marked picture could tell them."""
    keeper, source = Keeper(), Drive(1, "silence", live=True)
    stats = JsonlSink(tmp_path / "s.jsonl", session=RecordingSession(RecordingOptions(segment_s=1.0)))

    def stop_when_closed(_: Health) -> None:
        first = [path for _, path in segments_of(tmp_path / "s.jsonl")[:1]]
        keeper.stop_requested = keeper.stop_requested or any(not is_being_written(path) for path in first)

    keeper.health = stop_when_closed  # type: ignore[method-assign]
    Pipeline(source, Engine(), [stats, keeper]).run()
    assert keeper.stop_requested, "the source gave up first"
    assert lines_of(tmp_path)[1] == [0]
