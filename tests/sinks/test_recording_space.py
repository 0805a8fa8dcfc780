"""Recordings: budgets, locks, options that contradict each other, and disks that fail."""

from __future__ import annotations

import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from sink_results import count, result_at

from drivenet.errors import SinkError, UsageError
from drivenet.labels import CAMVID
from drivenet.result import Totals
from drivenet.sinks.jsonl import JsonlSink
from drivenet.sinks.recording import RecordingOptions, RecordingSession
from drivenet.sinks.recording.conditions import parse_condition
from drivenet.sinks.recording.disk import Disk
from drivenet.sinks.recording.names import segments_of
from drivenet.sinks.recording.options import parse_bytes, parse_segment
from drivenet.sinks.recording.synced_file import SyncedFile
from drivenet.sinks.video import VideoSink


def _write_until_it_fails(file: SyncedFile) -> None:
    for _ in range(3_000):
        file.write(b"x")
        time.sleep(0.01)


def fill(folder: Path, numbers: range, size: int = 1000) -> None:
    for n in numbers:
        (folder / f"s-20260101T000000Z-{n:06d}.jsonl").write_bytes(b"x" * size)


@pytest.mark.parametrize(("keep_bytes", "most"), [(0, 100_000), (1 << 40, 1_500_000)], ids=["no budget", "budget"])
def test_what_is_known_of_segments_stays_small(keep_bytes: int, most: int) -> None:
    """A node that runs for weeks: nothing grows with the segments it wrote, or little with those that are kept."""
    session = RecordingSession(RecordingOptions(segment_s=1.0, keep_bytes=keep_bytes))
    names = [
        [f"/recordings/drive-20261130T120000Z-{n:06d}.{kind}" for kind in ("mkv", "mcap", "jsonl")] for n in range(2200)
    ]
    # Python interns the parts of a path: the table of all interned strings may not grow while memory is counted
    parts = [Path(name).parts for three in names for name in three]

    def record(numbers: range) -> None:
        for n in numbers:
            segment = session.clock.at(n * 1_000_000_000)
            for path in map(Path, names[n]):
                session.retention.opened(segment, path)
                session.written.append(path)
                session.retention.closed(segment, path)

    record(range(200))
    tracemalloc.start()
    try:
        record(range(200, 2200))
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < most
    assert len(session.written) == len(parts) == 3 * 2200
    assert list(session.written)[-1].name == "drive-20261130T120000Z-002199.jsonl"


def test_the_oldest_go_first_by_number_and_locked_ones_stay(tmp_path: Path) -> None:
    fill(tmp_path, range(1, 11))
    (tmp_path / "s-20260101T000000Z-000002.locked").touch()
    (tmp_path / "other-20260101T000000Z-000001.jsonl").write_bytes(b"x" * 9000)  # another recording
    session = RecordingSession(RecordingOptions(segment_s=1.0, keep_bytes=5_000))
    sink = JsonlSink(tmp_path / "s.jsonl", session=session)
    sink.publish(result_at(0))
    sink.close(Totals())
    assert [number for number, _ in segments_of(tmp_path / "s.jsonl")] == [2, 7, 8, 9, 10, 11]
    assert (tmp_path / "other-20260101T000000Z-000001.jsonl").exists()


def test_a_recording_that_is_opened_again_counts_its_segments_once(tmp_path: Path) -> None:
    fill(tmp_path, range(1, 5))
    session = RecordingSession(RecordingOptions(segment_s=1.0, keep_bytes=5_000))
    for _ in range(2):  # as after an error of the disk
        sink = JsonlSink(tmp_path / "s.jsonl", session=session)
    sink.publish(result_at(0))
    sink.close(Totals())
    assert [number for number, _ in segments_of(tmp_path / "s.jsonl")] == [1, 2, 3, 4, 5]


def test_a_budget_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path, range(1, 4))
    for n in range(1, 4):
        (tmp_path / f"s-20260101T000000Z-{n:06d}.locked").touch()
    sink = JsonlSink(tmp_path / "s.jsonl", session=RecordingSession(RecordingOptions(segment_s=1.0, keep_bytes=2_000)))
    with pytest.raises(SinkError, match=r"than 0\.002 MB, and nothing is left to delete; unlock segments by"):
        sink.publish(result_at(0))
    free = RecordingSession(RecordingOptions(segment_s=1.0, keep_free_bytes=1 << 60))
    with pytest.raises(SinkError, match="is free, and nothing is left to delete"):
        JsonlSink(tmp_path / "f.jsonl", session=free).publish(result_at(0))


def test_a_segment_is_unlocked_while_the_node_runs(tmp_path: Path) -> None:
    """As the message asks for where the budget cannot hold; a segment that is locked again stays again."""
    session = RecordingSession(RecordingOptions(segment_s=1.0, keep_bytes=2_000))
    fill(tmp_path, range(1, 5))
    for n in range(1, 5):
        (tmp_path / f"s-20260101T000000Z-{n:06d}.locked").touch()
    sink = JsonlSink(tmp_path / "s.jsonl", session=session)
    with pytest.raises(SinkError, match=r"unlock segments by deleting their \.locked files"):
        sink.publish(result_at(0))
    for n in (1, 2, 4):
        (tmp_path / f"s-20260101T000000Z-{n:06d}.locked").unlink()
    again = JsonlSink(tmp_path / "s.jsonl", session=session)
    again.publish(result_at(0))
    assert [number for number, _ in segments_of(tmp_path / "s.jsonl")] == [3, 4, 5]
    for _ in range(2):
        session.lock()
        (marker,) = tmp_path.glob("*-000005.locked")
        marker.unlink()
    again.close(Totals())


def test_a_lock_keeps_what_was_ten_seconds_before_to_ten_seconds_after(tmp_path: Path) -> None:
    condition = parse_condition("Car > 6%", CAMVID)
    session = RecordingSession(
        RecordingOptions(segment_s=5.0), fps=1.0, lock_when=lambda r: r.frame.index == 42 and condition.holds(r)
    )
    sink = JsonlSink(tmp_path / "s.jsonl", session=session)
    for n in range(90):
        sink.publish(result_at(n, n))
    sink.close(Totals())
    locked = [path.with_suffix(".locked").exists() for _, path in segments_of(tmp_path / "s.jsonl")]
    assert [5 * n for n, is_locked in enumerate(locked) if is_locked] == [30, 35, 40, 45, 50]


def test_what_was_recorded_before_an_output_was_away_ends_there(tmp_path: Path) -> None:
    """Segments that nobody opened have numbers too: the one before them is not part of every later event."""
    session = RecordingSession(RecordingOptions(segment_s=5.0), fps=1.0)
    sink = JsonlSink(tmp_path / "s.jsonl", session=session)
    sink.publish(result_at(0, 0))
    session.segment(result_at(6, 6))  # of an output that cannot be opened just now
    for n in (12, 40):
        sink.publish(result_at(n, n))
    session.lock()
    sink.close(Totals())
    locked = [path.with_suffix(".locked").exists() for _, path in segments_of(tmp_path / "s.jsonl")]
    assert locked == [False, True, True]


def test_a_lock_by_hand_holds_for_the_segment_that_is_written(tmp_path: Path) -> None:
    session = RecordingSession(RecordingOptions(segment_s=5.0), fps=1.0)
    sink = JsonlSink(tmp_path / "s.jsonl", session=session)
    sink.publish(result_at(0))
    session.lock()
    sink.close(Totals())
    assert len(list(tmp_path.glob("*.locked"))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pedestrian", "expected GROUP>FRACTION"),
        ("pedestrian>5", "expected GROUP>FRACTION"),
        ("pedestrain>5%", "names pedestrain; expected a group or a class; did you mean pedestrian?"),
    ],
)
def test_a_condition_that_is_none_says_what_one_is(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_condition(text, CAMVID)


@pytest.mark.parametrize("text", ["", "5", "5 minutes", "-5s", "0s", "five s", "5EB"])
def test_lengths_and_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"a segment of .*expected 60s, 5min, 1h or 500MB"):
        parse_segment(text)
    with pytest.raises(UsageError, match="expected 20GB or 500MB"):
        parse_bytes(text)


def test_options_that_contradict_each_other_are_refused() -> None:
    for options in ({"keep_bytes": 1}, {"segment_s": 60.0, "overwrite": True}, {"segment_s": 0.5}):
        with pytest.raises(UsageError):
            RecordingOptions(**options)  # type: ignore[arg-type]
    assert replace(RecordingOptions(segment_bytes=5)).segmented


def test_a_disk_that_hangs_in_a_sync_is_an_error_of_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    class HangingDisk(Disk):
        def sync(self, descriptor: int) -> None:
            released.wait(60)

    monkeypatch.setattr("drivenet.sinks.recording.synced_file.SYNC_TIMEOUT_S", 0.2)
    file = SyncedFile(tmp_path / "f", overwrite=False, disk=HangingDisk())
    with pytest.raises(OSError, match="the disk has not finished a sync for 0 s"):
        _write_until_it_fails(file)
    released.set()
    file.close()


def test_a_video_sink_alone_needs_no_session(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "v.mkv")
    sink.publish(result_at(0))
    sink.close(Totals())
    assert count(tmp_path / "v.mkv") == 1
