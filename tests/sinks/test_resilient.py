"""Outputs that fail alone: the run goes on, health says so, they come back, and the end tells of it."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
from sink_results import make_result

from drivenet.backoff import Backoff
from drivenet.engine import open_engine
from drivenet.errors import SinkError, UsageError
from drivenet.health import Event, Health
from drivenet.pipeline import Pipeline
from drivenet.result import Result, Totals
from drivenet.sinks import open_sink
from drivenet.sinks.base import Sink, SinkAwayError
from drivenet.sinks.jsonl import JsonlSink
from drivenet.sinks.recording import RecordingSession
from drivenet.sinks.resilient import Resilient
from drivenet.sources import open_source


class Flaky(Sink):
    """Fails with the frames of some numbers; counts how often it was opened and closed."""

    name = "flaky"
    needs_view = False
    opened: ClassVar[list[Flaky]] = []
    bad: ClassVar[range] = range(0)

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.closed = False
        Flaky.opened.append(self)

    def publish(self, result: Result) -> None:
        if result.frame.index in self.bad:
            raise OSError(5, os.strerror(5))
        self.frames.append(result.frame.index)

    def close(self, totals: Totals) -> None:
        self.closed = True


class Watcher(Sink):
    """What another output hears of it."""

    name = "watcher"
    needs_view = False

    def __init__(self) -> None:
        self.frames, self.events = 0, list[str]()
        self.states: set[str] = set()

    def publish(self, result: Result) -> None:
        self.frames += 1

    def health(self, health: Health) -> None:
        self.states.add(health.state)

    def event(self, event: Event) -> None:
        self.events.append(event.code)


@pytest.fixture(autouse=True)
def _nothing_opened() -> None:
    Flaky.opened, Flaky.bad = [], range(0)


def quick() -> Backoff:
    return Backoff(0.01, 0.05)


def test_the_others_lose_nothing_and_the_end_tells_of_it() -> None:
    Flaky.bad = range(20, 40)
    watcher = Watcher()
    source = open_source("synthetic://96x64@60?frames=120", paced=True, seed=0)
    sinks = [Resilient(Flaky, Flaky, "f", backoff=quick()), watcher]
    run = Pipeline(source, open_engine(None, "null", "auto"), sinks, policy="every")
    with pytest.raises(SinkError, match=r"^flaky: Input/output error$"):
        run.run()
    totals = run.accounting.totals()
    assert watcher.frames == 120 == totals.captured == totals.published
    assert totals.sinks["flaky"]["failed"] >= 20
    assert totals.sinks["flaky"]["failed"] + totals.sinks["flaky"]["published"] == 120
    assert {"output.away", "output.back"} <= set(watcher.events)
    assert "degraded" in watcher.states
    assert "failed" not in watcher.states
    assert 2 <= len(Flaky.opened) <= 21
    assert all(sink.closed for sink in Flaky.opened)
    assert totals.errors == ["flaky: Input/output error"]


class Away(Sink):
    """Takes nothing, for one reason first and then for another; knows which images are still held."""

    name = "away"
    needs_view = False

    def __init__(self) -> None:
        self.images: list[weakref.ref[np.ndarray]] = []

    def publish(self, result: Result) -> None:
        self.images.append(weakref.ref(result.frame.image))
        raise SinkAwayError("it was pulled out" if len(self.images) < 30 else "the disk is full")


def test_an_output_that_is_away_for_another_reason_says_so_and_keeps_no_frames() -> None:
    away, watcher = Away(), Watcher()
    source = open_source("synthetic://96x64@60?frames=60", paced=False, seed=0)
    run = Pipeline(source, open_engine(None, "null", "auto"), [away, watcher], policy="every")
    gc.collect()
    gc.disable()  # an hour without a broker shall not fill the memory until the collector comes
    try:
        with pytest.raises(SinkAwayError, match=r"^it was pulled out$"):
            run.run()
        assert sum(image() is not None for image in away.images) < 10 < len(away.images)
    finally:
        gc.enable()
    assert watcher.frames == 60
    assert run.accounting.totals().events["output.away"] == 2
    assert run.monitor.health.parts["outputs"].reason == "the disk is full"


def test_an_offline_run_ends_when_its_last_output_has_failed() -> None:
    Flaky.bad = range(5, 10_000)
    source = open_source("synthetic://96x64@60?frames=1000", paced=False, seed=0)
    run = Pipeline(source, open_engine(None, "null", "auto"), [Resilient(Flaky, Flaky, "f")], policy="every")
    with pytest.raises(SinkError):
        run.run()
    totals = run.accounting.totals()
    assert totals.captured < 100
    assert totals.captured == totals.published + sum(totals.dropped.values())


def test_waits_grow_and_a_success_begins_anew() -> None:
    sink = Resilient(Flaky, Flaky, "f", backoff=Backoff(1000.0, 1000.0))
    Flaky.bad = range(1, 2)
    sink.publish(make_result(0))
    for n in (1, 2, 3):
        with pytest.raises(SinkAwayError, match="Input/output error"):
            sink.publish(make_result(n))
    assert len(Flaky.opened) == 1, "it is not due yet"
    sink.close(Totals())


def test_what_is_away_at_first_says_so_and_what_is_wrong_is_refused() -> None:
    def away() -> Sink:
        raise SinkError("nobody there")

    def wrong() -> Sink:
        raise UsageError("no such thing")

    sink = Resilient(away, Flaky, "broker", away_at_first=True, backoff=quick())
    assert (sink.name, sink.needs_view, sink.overflow, sink.target) == ("flaky", False, "block", "broker")
    with pytest.raises(SinkAwayError, match="nobody there"):
        sink.publish(make_result(0))
    sink.close(Totals())
    with pytest.raises(SinkError, match="nobody there"):
        Resilient(away, Flaky, "broker")
    with pytest.raises(UsageError):
        Resilient(wrong, Flaky, "broker", away_at_first=True)


def recorder(path: Path) -> Resilient:
    session = RecordingSession()
    return Resilient(
        lambda: open_sink(path, fps=0, visualize="overlay", session=session), Sink, str(path), backoff=quick()
    )


def record_until(sink: Resilient, first: int, away: bool) -> int:
    """Publish until it is away, or back again; the next frame's number."""
    for n in range(first, first + 20_000):
        try:
            sink.publish(make_result(n, size=(240, 320), captured_ns=(1000 + n) * 10**7))
        except SinkAwayError:
            if away:
                return n + 1
        else:
            if not away:
                return n + 1
    raise AssertionError("it never happened")


@pytest.mark.parametrize("suffix", ["mkv", "mcap"])
def test_a_folder_that_is_removed_is_made_again_and_recorded_to(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("mcap.writer", reason="mcap is not installed (extra [robotics])")
    sink = recorder(tmp_path / "rec" / f"d.{suffix}")
    n = record_until(sink, 0, away=False)
    shutil.rmtree(tmp_path / "rec")
    n = record_until(sink, n, away=True)
    record_until(sink, n, away=False)
    sink.close(Totals())
    assert (tmp_path / "rec" / f"d.{suffix}").stat().st_size > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all that is free."""
    with (folder / "ballast").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return folder / "ballast"


def test_a_full_disk_costs_the_recording_and_not_the_run_and_it_goes_on_when_there_is_room(small_disk: Path) -> None:
    sink, n = recorder(small_disk / "d.mkv"), 0
    for _ in range(200):  # two seconds of it
        n = record_until(sink, n, away=False)
    ballast = fill(small_disk)
    n = record_until(sink, n, away=True)
    for _ in range(30):  # it is full: nothing but what fitted is left behind
        with pytest.raises(SinkAwayError, match=r"No space left|is free"):
            sink.publish(make_result(n, size=(240, 320)))
    ballast.unlink()
    for _ in range(50):
        n = record_until(sink, n, away=False)
    sink.close(Totals())
    files = sorted(small_disk.glob("d*.mkv"))
    assert 2 <= len(files) <= 3
    for path in files:
        with av.open(str(path)) as container:
            assert next(container.decode(video=0)).width == 320


def test_the_stats_of_a_run_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    whole = tmp_path / "s.jsonl"
    full = JsonlSink(small_disk / "s.jsonl", session=RecordingSession())
    sinks = [Resilient(lambda: full, Sink, "s"), JsonlSink(whole)]
    fill(small_disk)
    source = open_source("synthetic://96x64@60?frames=300", paced=False, seed=0)
    with pytest.raises(SinkError, match=r"No space left|is free"):
        Pipeline(source, open_engine(None, "null", "auto"), sinks, policy="every").run()
    lines = [json.loads(line) for line in whole.read_text().splitlines()]
    assert sum(line["type"] == "frame" for line in lines) == 300
    assert lines[-1]["errors"]


def remount(folder: Path, how: str) -> None:
    """``ro`` or ``rw``; a file that is open for writing keeps a system from becoming read-only on request."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def test_a_disk_that_became_read_only_is_recorded_to_when_it_is_writable_again(small_disk: Path) -> None:
    sink, n = recorder(small_disk / "d.mkv"), 0
    for _ in range(50):
        n = record_until(sink, n, away=False)
    ballast = fill(small_disk)
    n = record_until(sink, n, away=True)
    remount(small_disk, "ro")
    said: list[str] = []
    while len(said) < 200 and sum("Read-only file system" in text for text in said) < 5:
        time.sleep(0.02)
        with pytest.raises(SinkAwayError) as caught:
            sink.publish(make_result(n, size=(240, 320)))
        said.append(str(caught.value))
    assert "Read-only file system" in said[-1]
    remount(small_disk, "rw")
    ballast.unlink()
    for _ in range(50):
        n = record_until(sink, n, away=False)
    sink.close(Totals())
    for path in small_disk.glob("d*.mkv"):
        with av.open(str(path)) as container:
            assert next(container.decode(video=0)).width == 320
