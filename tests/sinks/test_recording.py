"""Recordings write over nothing, share one segment clock, keep a disk budget and what is locked, and are locked."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import av
import pytest
from sink_results import make_result

from drivenet.errors import SinkError, UsageError
from drivenet.labels import CAMVID
from drivenet.result import Result, Totals
from drivenet.sinks import open_sink
from drivenet.sinks.base import Sink
from drivenet.sinks.images import ImageFolderSink
from drivenet.sinks.jsonl import JsonlSink
from drivenet.sinks.recording import RecordingOptions, RecordingSession
from drivenet.sinks.recording.budget import DiskBudget
from drivenet.sinks.recording.conditions import parse_condition
from drivenet.sinks.recording.disk import Disk
from drivenet.sinks.recording.names import segments_of
from drivenet.sinks.recording.options import parse_bytes, parse_segment
from drivenet.sinks.recording.retention import Retention
from drivenet.sinks.recording.shared import NodeRecordings
from drivenet.sinks.recording.synced_file import SyncedFile
from drivenet.sinks.video import VideoSink

pytest.importorskip("mcap.writer", reason="mcap is not installed (extra [robotics])")


def result_at(seconds: float, index: int = 0, size: tuple[int, int] = (48, 64)) -> Result:
    return make_result(index, size=size, captured_ns=round((1000 + seconds) * 1e9))


def recorders(folder: Path, session: RecordingSession) -> list[Sink]:
    video, mcap = (
        open_sink(folder / f"d.{kind}", fps=0, visualize="overlay", session=session) for kind in ("mkv", "mcap")
    )
    return [video, mcap, JsonlSink(folder / "s.jsonl", session=session)]


def frames_of(path: Path) -> list[int]:
    return [line["frame"] for line in map(json.loads, path.read_text().splitlines()) if line["type"] == "frame"]


def count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("lag", [0, 7], ids=["together", "one lags behind"])
def test_segments_of_all_recordings_begin_and_end_with_the_same_frame(tmp_path: Path, lag: int) -> None:
    """Also where the size changes, and where one of them is some frames behind the others."""
    session = RecordingSession(RecordingOptions(segment_s=2.0))
    video, mcap, stats = recorders(tmp_path, session)
    results = [result_at(n / 10, n, (60, 80) if 30 <= n < 45 else (48, 64)) for n in range(60)]
    for n in range(len(results) + lag):
        if n < len(results):
            video.publish(results[n])
            mcap.publish(results[n])
        if n >= lag:
            stats.publish(results[n - lag])
    for sink in (video, mcap, stats):
        sink.close(Totals())
    cuts = [range(20), range(20, 30), range(30, 45), range(45, 60)]
    lines = segments_of(tmp_path / "s.jsonl")
    assert [number for number, _ in lines] == [1, 2, 3, 4]
    assert [frames_of(path) for _, path in lines] == [list(cut) for cut in cuts]
    assert [count(path) for _, path in segments_of(tmp_path / "d.mkv")] == [len(cut) for cut in cuts]
    names = {path.stem.partition("-")[2] for _, path in lines}
    assert names == {path.stem.partition("-")[2] for _, path in segments_of(tmp_path / "d.mcap")}
    assert sorted(session.written) == sorted(tmp_path.iterdir())


def test_a_segment_ends_at_its_size(tmp_path: Path) -> None:
    session = RecordingSession(RecordingOptions(segment_bytes=2_000))
    stats = JsonlSink(tmp_path / "s.jsonl", session=session)
    for n in range(60):
        stats.publish(result_at(n / 10, n))
    stats.close(Totals())
    paths = [path for _, path in segments_of(tmp_path / "s.jsonl")]
    assert len(paths) > 5
    assert all(2_000 <= path.stat().st_size < 3_000 for path in paths[:-1])
    assert [n for path in paths for n in frames_of(path)] == list(range(60))


def test_a_recorded_source_is_cut_by_its_own_time(tmp_path: Path) -> None:
    session = RecordingSession(RecordingOptions(segment_s=1.0), fps=10.0)
    stats = JsonlSink(tmp_path / "s.jsonl", session=session)
    for n in range(25):
        stats.publish(result_at(n / 1000, n))  # a hundred times as fast as it was filmed
    stats.close(Totals())
    assert [len(frames_of(path)) for _, path in segments_of(tmp_path / "s.jsonl")] == [10, 10, 5]


def test_the_next_run_goes_on_with_the_numbers_whatever_the_clock_says(tmp_path: Path) -> None:
    (tmp_path / "s-20991231T235959Z-000041.jsonl").write_text("")
    (tmp_path / "s-19700101T000000Z-000042.jsonl").write_text("")
    stats = JsonlSink(tmp_path / "s.jsonl", session=RecordingSession(RecordingOptions(segment_s=1.0)))
    stats.publish(result_at(0))
    stats.close(Totals())
    assert [number for number, _ in segments_of(tmp_path / "s.jsonl")] == [41, 42, 43]


@pytest.mark.parametrize("name", ["d.mp4", "d.mkv", "d.mcap", "s.jsonl"])
def test_nothing_is_written_over_unless_asked_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("precious")

    def record(overwrite: bool) -> str:
        session = RecordingSession(RecordingOptions(overwrite=overwrite))
        sink = (
            open_sink(path, fps=0, visualize="overlay", session=session)
            if name != "s.jsonl"
            else JsonlSink(path, session=session)
        )
        sink.publish(result_at(0))
        sink.close(Totals())
        return Path(sink.target).name

    assert [record(False), record(False)] == [f"{path.stem}-2{path.suffix}", f"{path.stem}-3{path.suffix}"]
    assert path.read_text() == "precious"
    assert record(True) == name
    assert path.read_bytes() != b"precious"


def test_two_runs_never_mix_in_a_folder(tmp_path: Path) -> None:
    for _ in range(2):
        sink = ImageFolderSink(tmp_path / "pics")
        sink.publish(result_at(0))
        sink.close(Totals())
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jpg")) == [
        "pics-2/000000.jpg", "pics/000000.jpg",
    ]  # fmt: skip


_HOLDER = """
import sys
from pathlib import Path
from drivenet.sinks.recording.disk import Disk
from drivenet.sinks.recording.synced_file import SyncedFile
file = SyncedFile(Path(sys.argv[1]), overwrite=False, disk=Disk())
file.write(b"x")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "options", [{}, {"overwrite": True}, {"segment_s": 60.0}], ids=["plain", "overwrite", "segments"]
)
def test_what_another_program_writes_is_refused_until_it_ends(tmp_path: Path, options: dict[str, object]) -> None:
    session = RecordingSession(RecordingOptions(**options))  # type: ignore[arg-type]
    name = "s-20260101T000000Z-000001.jsonl" if session.options.segmented else "s.jsonl"
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / name)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"ready\n"
        with pytest.raises(
            SinkError, match=r"jsonl is being written by another program; expected an output of its own"
        ):
            JsonlSink(tmp_path / "s.jsonl", session=session)
        other.kill()
    JsonlSink(tmp_path / "s.jsonl", session=session).close(Totals())


def test_a_file_that_is_removed_meanwhile_is_noticed_before_the_end(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "deep" / "s.jsonl")
    sink.publish(result_at(0))
    (tmp_path / "deep" / "s.jsonl").unlink()
    with pytest.raises(SinkError, match="was removed or replaced while it was written"):
        _publish_until_it_fails(sink)


def _publish_until_it_fails(sink: Sink) -> None:
    for n in range(1, 3_000):
        sink.publish(result_at(n / 100, n))
        time.sleep(0.01)


def _write_until_it_fails(file: SyncedFile) -> None:
    for _ in range(3_000):
        file.write(b"x")
        time.sleep(0.01)


def fill(folder: Path, numbers: range, size: int = 1000) -> None:
    for n in numbers:
        (folder / f"s-20260101T000000Z-{n:06d}.jsonl").write_bytes(b"x" * size)


def test_ten_thousand_segments_never_exceed_their_budget_by_more_than_one(tmp_path: Path) -> None:
    budget = DiskBudget(keep_bytes=50_000)
    retention = Retention(budget, Disk())
    retention.found(tmp_path, [])
    clock = RecordingSession(RecordingOptions(segment_s=1.0, keep_bytes=50_000)).clock
    sizes: list[int] = []
    for n in range(10_000):
        segment = clock.at(n * 1_000_000_000)
        path = tmp_path / f"s-{n:06d}"
        budget.check(now=True)
        path.write_bytes(b"x" * 1000)
        retention.opened(segment, path)
        retention.closed(segment, path)
        if n % 500 == 499:
            sizes.append(sum(p.stat().st_size for p in tmp_path.iterdir()))
    assert 49_000 <= min(sizes) <= max(sizes) <= 51_000
    assert sorted(p.name for p in tmp_path.iterdir())[-1] == "s-009999"


def test_one_budget_holds_for_all_sources_and_the_oldest_of_all_go_first(tmp_path: Path) -> None:
    options = RecordingOptions(segment_s=1.0, keep_bytes=12_000)
    node = NodeRecordings.of(options)
    front, rear = (RecordingSession(options, shared=node) for _ in range(2))
    for number in range(1, 10):  # rear has more of an earlier run
        (tmp_path / f"rear-20260101T000000Z-{number:06d}.jsonl").write_bytes(b"x" * 1000)
    (tmp_path / "front-20260101T000000Z-000001.jsonl").write_bytes(b"x" * 1000)
    sinks = [JsonlSink(tmp_path / f"{n}.jsonl", session=s) for n, s in (("front", front), ("rear", rear))]

    def taken() -> tuple[list[int], list[int]]:
        found = [[number for number, _ in segments_of(tmp_path / f"{n}.jsonl")] for n in ("front", "rear")]
        return found[0], found[1]

    size = len(json.dumps(result_at(0).to_dict()))
    for n in range(3):
        sinks[0].publish(result_at(2 * n, n))
        sinks[1].publish(result_at(2 * n + 1, n))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 12_000 + 2 * size
    assert taken()[0][0] == 1  # the earlier run of rear, which has more, pays first
    assert taken()[1][0] > 1
    for n in range(3, 40):
        sinks[0].publish(result_at(2 * n, n))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 12_000 + 2 * size
    assert taken()[1] == [12]  # all else of rear is older than what front has
    for sink in sinks:
        sink.close(Totals())


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
