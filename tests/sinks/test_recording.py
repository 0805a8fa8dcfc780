"""Recordings write over nothing, share one segment clock, keep a disk budget and what is locked, and are locked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sink_results import count, result_at

from drivenet.errors import SinkError
from drivenet.result import Totals
from drivenet.sinks import open_sink
from drivenet.sinks.base import Sink
from drivenet.sinks.images import ImageFolderSink
from drivenet.sinks.jsonl import JsonlSink
from drivenet.sinks.recording import RecordingOptions, RecordingSession
from drivenet.sinks.recording.budget import DiskBudget
from drivenet.sinks.recording.disk import Disk
from drivenet.sinks.recording.names import segments_of
from drivenet.sinks.recording.retention import Retention
from drivenet.sinks.recording.shared import NodeRecordings

pytest.importorskip("mcap.writer", reason="mcap is not installed (extra [robotics])")


def recorders(folder: Path, session: RecordingSession) -> list[Sink]:
    video, mcap = (
        open_sink(folder / f"d.{kind}", fps=0, visualize="overlay", session=session) for kind in ("mkv", "mcap")
    )
    return [video, mcap, JsonlSink(folder / "s.jsonl", session=session)]


def frames_of(path: Path) -> list[int]:
    return [line["frame"] for line in map(json.loads, path.read_text().splitlines()) if line["type"] == "frame"]


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
