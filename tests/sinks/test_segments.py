"""Segments where something other than frames is recorded: events before the first one, pictures of a lost source."""

from __future__ import annotations

import json
from pathlib import Path

import av
from sink_results import fares, make_result

from drivenet.health import Event
from drivenet.latency import now_ns
from drivenet.overlay import lost_view
from drivenet.result import Totals
from drivenet.sinks.base import Sink
from drivenet.sinks.jsonl import JsonlSink
from drivenet.sinks.recording import RecordingOptions, RecordingSession
from drivenet.sinks.recording.names import segments_of
from drivenet.sinks.video import VideoSink


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
