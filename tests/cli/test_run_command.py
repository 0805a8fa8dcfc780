"""``drivenet run`` for real: what it writes, and how it ends when it is interrupted, terminated or killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from cli_parts import LONG_S, balanced, call, decoded, line_count, started, stats, wait_until, write_clip

pytestmark = pytest.mark.usefixtures("in_a_folder_and_nothing_left_running")
DRIVE = "synthetic://96x64@30"


NULL = ("--backend", "null", "--headless")


def signalled(number: signal.Signals, when: Callable[[], object], *args: object) -> int:
    """The exit code of a run in this process that gets a signal once something has happened."""
    over = threading.Event()

    def send() -> None:
        wait_until(lambda: over.is_set() or when())
        if not over.is_set():
            os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return call(*args)
    finally:
        over.set()
        sender.join()


def test_every_frame_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "clip.mp4", frames=12)
    files = ("--out", "o[1].mp4", "--out", "p.mkv", "--out", "pictures/", "--stats", "new/s.jsonl")
    assert call("run", "clip.mp4", *NULL, *files) == 0
    frames, summary = stats((tmp_path / "new" / "s.jsonl").read_bytes())
    assert balanced(frames, summary)
    assert [f["frame"] for f in frames] == list(range(12))
    assert summary["dropped"] == {}  # type: ignore[index]
    for name in ("o[1].mp4", "p.mkv"):
        assert [p.shape for p in decoded(tmp_path / name)] == [(64, 96, 3)] * 12
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == [f"{n:06d}.jpg" for n in range(12)]
    printed = capsys.readouterr()
    assert printed.out == ""
    for said in ("captured 12, published 12, dropped: none", "wrote o[1].mp4", "wrote new/s.jsonl", "end to end"):
        assert said in printed.err
    assert "\x1b" not in printed.err
    assert "\r" not in printed.err


@pytest.mark.parametrize("sources", [(DRIVE,), (DRIVE, "synthetic://64x96@30")])
def test_opencv_keeps_to_the_threads_of_the_run(sources: tuple[str, ...]) -> None:
    """Its own ones would take the cores of the engine while they wait for the next picture."""
    cv2.setNumThreads(2)
    assert call("run", *sources, *NULL, "--max-frames", "2") == 0
    assert cv2.getNumThreads() == 1


def test_a_recording_without_a_steady_rate_keeps_its_times(tmp_path: Path) -> None:
    """A dashcam that takes ten a second by day and five by night."""
    times = [n / 10 if n < 20 else 2 + (n - 20) / 5 for n in range(40)]
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.codec_context.time_base = 96, 64, Fraction(1, 1000)
        for seconds in times:
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="bgr24")
            frame.pts, frame.time_base = round(1000 * seconds), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert call("run", "clip.mp4", *NULL, "--out", "o.mp4") == 0
    with av.open("o.mp4") as container:
        shown = [frame.time for frame in container.decode(video=0)]
    assert shown == pytest.approx(times, abs=0.015)  # a tenth of the mean step


@pytest.mark.parametrize(("rate", "fps"), [((), 25), (("--rate", "50"), 50)], ids=["unsaid", "said"])
def test_a_folder_of_pictures_becomes_a_video_of_an_even_rate(tmp_path: Path, rate: tuple[str, ...], fps: int) -> None:
    (tmp_path / "pictures").mkdir()
    for index in range(5):
        cv2.imwrite(str(tmp_path / "pictures" / f"{index}.png"), np.full((64, 96, 3), 40 * index, np.uint8))
    assert call("run", "pictures/", *NULL, *rate, "--policy", "every", "--out", "o.mp4", "--out", "o.mkv") == 0
    for name in ("o.mp4", "o.mkv"):
        with av.open(name) as container:
            assert container.streams.video[0].average_rate == fps
            times = [frame.time for frame in container.decode(video=0)]
        assert times == pytest.approx([index / fps for index in range(5)], abs=1e-3)


def test_settings_with_a_file_name_that_is_no_text_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "stra\udcdfe.mp4", "--print-config") == 0
    assert json.loads(capsys.readouterr().out)["source"] == "stra\udcdfe.mp4"


def test_stats_lines_are_as_designed(tmp_path: Path) -> None:
    assert call("run", f"{DRIVE}?frames=3", *NULL, "--policy", "every", "--stats", "s.jsonl") == 0
    frames, summary = stats((tmp_path / "s.jsonl").read_bytes())
    assert set(frames[0]) >= {"type", "frame", "captured_ns", "stages_ms", "end_to_end_ms", "classes", "groups"}
    assert set(frames[0]["stages_ms"]) == {"queue", "prepare", "infer", "postprocess", "draw", "publish"}
    assert set(frames[0]["groups"]) >= {"road", "sign", "pedestrian", "vehicle"}
    region = frames[0]["groups"]["vehicle"]["regions"][0]
    assert set(region) >= {"class", "box", "area"}
    assert summary is not None
    told = {"captured", "published", "dropped", "fps", "latency_ms", "engine", "sinks", "health", "events", "errors"}
    assert set(summary) == {"type", *told}
    assert (summary["health"]["state"], summary["errors"]) == ("ok", [])
    assert summary["sinks"] == {"stats": {"published": 3, "dropped": 0}}
    assert set(summary["fps"]) == {"source", "processed", "published"}
    assert set(summary["engine"]) >= {"file", "backend", "precision", "input", "labels"}
    assert set(summary["latency_ms"]["end_to_end"]) == {"n", "p50", "p90", "max"}, "no p99 of three frames"


def test_one_picture_has_no_rate(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("run", f"{DRIVE}?frames=1", *NULL, "--stats", "s.jsonl") == 0
    assert "FPS of the whole run: source -, processed -, published -\n" in capfd.readouterr().err
    summary = stats((tmp_path / "s.jsonl").read_bytes())[1]
    assert summary is not None
    assert summary["fps"] == {"source": None, "processed": None, "published": None}


def test_stats_on_standard_output_are_pure(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("run", f"{DRIVE}?frames=4", *NULL, "--policy", "every", "--stats", "-") == 0
    printed = capfd.readouterr()
    frames, summary = stats(printed.out)
    assert balanced(frames, summary)
    assert len(frames) == 4
    assert "captured 4" in printed.err


def test_a_bar_on_a_terminal_keeps_out_of_standard_output(tmp_path: Path) -> None:
    screen, terminal = os.openpty()
    shown: list[bytes] = []

    def look() -> None:
        with contextlib.suppress(OSError):  # the terminal is gone
            while data := os.read(screen, 4096):
                shown.append(data)

    watcher = threading.Thread(target=look)
    watcher.start()
    how = ("--policy", "every", "--stats", "-")
    with started("run", f"{DRIVE}?frames=4", *NULL, *how, cwd=tmp_path, stderr=terminal) as process:
        os.close(terminal)
        out, _ = process.communicate(timeout=LONG_S)
    watcher.join(LONG_S)
    os.close(screen)
    assert process.returncode == 0
    assert balanced(*stats(out))
    assert "━".encode() in b"".join(shown), "a bar"


def test_a_live_drive_at_its_rate_balances(tmp_path: Path) -> None:
    assert call("run", f"{DRIVE}?frames=20", *NULL, "--rate", "60", "--policy", "latest", "--stats", "s.jsonl") == 0
    frames, summary = stats((tmp_path / "s.jsonl").read_bytes())
    assert balanced(frames, summary)
    assert summary["captured"] == 20  # type: ignore[index]
    assert all(f["end_to_end_ms"] >= sum(f["stages_ms"].values()) - 1 for f in frames)


def test_a_source_that_is_cut_short_keeps_its_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "clip.mkv", frames=40)
    clip.write_bytes(clip.read_bytes()[:-30_000])
    assert call("run", "clip.mkv", *NULL, "--out", "o.mp4", "--stats", "s.jsonl") == 3
    frames, summary = stats((tmp_path / "s.jsonl").read_bytes())
    assert balanced(frames, summary)
    assert 0 < len(frames) < 40
    assert len(decoded(tmp_path / "o.mp4")) == len(frames)
    (line,) = [said for said in capsys.readouterr().err.splitlines() if said.startswith("drivenet: ")]
    assert "cut short" in line


def test_two_picture_sizes_are_two_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, width in enumerate((96, 96, 128)):
        clip = write_clip(tmp_path / "one.mp4", frames=1, size=(width, 64))
        assert call("run", clip, *NULL, "--out", "frames/") == 0
        (tmp_path / "frames" / "000000.jpg").rename(folder / f"{index}.jpg")
    assert call("run", "pictures", *NULL, "--out", "o.mp4", "--stats", "s.jsonl") == 0
    frames, summary = stats((tmp_path / "s.jsonl").read_bytes())
    assert balanced(frames, summary)
    assert (len(decoded(tmp_path / "o.mp4")), len(decoded(tmp_path / "o-2.mp4")), len(frames)) == (2, 1, 3)
    assert "wrote o-2.mp4" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("policy", ["latest", "every"])
def test_a_signal_in_mid_run_ends_it_in_order(tmp_path: Path, number: signal.Signals, policy: str) -> None:
    file = tmp_path / "s.jsonl"
    how = ("--policy", policy, "--out", "o.mp4", "--stats", "s.jsonl")
    assert signalled(number, lambda: line_count(file) >= 5, "run", DRIVE, *NULL, *how) == 0
    frames, summary = stats(file.read_bytes())
    assert balanced(frames, summary)
    assert len(decoded(tmp_path / "o.mp4")) == len(frames) >= 5


@pytest.mark.parametrize(("out", "file"), [("d/o.mp4", "s.jsonl"), ("d/o.mkv", "s.jsonl"), ("o.mp4", "d/s.jsonl")])
def test_a_recording_that_is_removed_while_it_is_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, file: str
) -> None:
    def removed() -> bool:
        if line_count(tmp_path / file) < 5:
            return False
        shutil.rmtree(tmp_path / "d")
        return True

    assert signalled(signal.SIGINT, removed, "run", DRIVE, *NULL, "--out", out, "--stats", file) == 5
    (line,) = [said for said in capsys.readouterr().err.splitlines() if said.startswith("drivenet: ")]
    gone = out if out.startswith("d/") else file
    assert line == (f"drivenet: {gone} was removed or replaced while it was written; leave it until the run has ended")
    if gone is out:
        assert balanced(*stats((tmp_path / file).read_bytes()))
    else:
        assert decoded(tmp_path / out)


def test_sigterm_ends_a_program_in_order(tmp_path: Path) -> None:
    with started("run", DRIVE, *NULL, "--out", "o.mp4", "--stats", "s.jsonl", cwd=tmp_path) as process:
        wait_until(lambda: line_count(tmp_path / "s.jsonl") >= 5)
        process.terminate()
        assert process.wait(LONG_S) == 0  # 5 if an output had taken longer than its three seconds
    assert balanced(*stats((tmp_path / "s.jsonl").read_bytes()))
    assert decoded(tmp_path / "o.mp4")


def test_a_terminal_that_is_closed_ends_a_program_in_order(tmp_path: Path) -> None:
    """It sends SIGHUP, and a shell in it another one, which may come when all is done."""
    with started("run", DRIVE, *NULL, "--out", "o.mp4", "--stats", "s.jsonl", cwd=tmp_path) as process:
        wait_until(lambda: line_count(tmp_path / "s.jsonl") >= 5)
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.01)  # else they are one
        assert process.wait(LONG_S) in (0, -signal.SIGHUP)
    frames, summary = stats((tmp_path / "s.jsonl").read_bytes())
    assert balanced(frames, summary)
    assert len(decoded(tmp_path / "o.mp4")) == len(frames)


def test_a_program_that_shall_outlive_its_terminal_does(tmp_path: Path) -> None:
    """As nohup starts it: SIGHUP is ignored."""
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with started("run", DRIVE, *NULL, "--stats", "s.jsonl", cwd=tmp_path) as process:
            wait_until(lambda: line_count(tmp_path / "s.jsonl") >= 1)
            process.send_signal(signal.SIGHUP)
            seen = line_count(tmp_path / "s.jsonl")
            wait_until(lambda: line_count(tmp_path / "s.jsonl") > seen + 5 or process.poll() is not None)
            process.terminate()
            assert process.wait(LONG_S) == 0
    finally:
        signal.signal(signal.SIGHUP, former)
    frames, summary = stats((tmp_path / "s.jsonl").read_bytes())
    assert len(frames) > seen + 5
    assert balanced(frames, summary)


def test_kill_leaves_a_playable_recording_and_whole_lines(tmp_path: Path) -> None:
    with started("run", DRIVE, *NULL, "--out", "o.mp4", "--stats", "s.jsonl", cwd=tmp_path) as process:
        wait_until(lambda: line_count(tmp_path / "s.jsonl") >= 45)
        process.kill()
        assert process.wait(LONG_S) == -signal.SIGKILL
    frames, summary = stats((tmp_path / "s.jsonl").read_bytes())
    assert summary is None
    assert len(frames) >= 45
    assert 15 <= len(decoded(tmp_path / "o.mp4")) <= len(frames) + 1, "half a second may still be in memory"


def silent_server() -> socket.socket:
    """Accepts and says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(LONG_S)
    return server


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_while_a_source_does_not_answer(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with silent_server() as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with started("run", address, *NULL, "--out", "o.mp4", cwd=tmp_path) as process:
            connection, _ = server.accept()
            with connection:
                process.send_signal(number)
                _, err = process.communicate(timeout=LONG_S)
        assert process.returncode == code
        assert b"Traceback" not in err
        assert list(tmp_path.iterdir()) == []


def test_a_signal_while_the_source_is_lost(tmp_path: Path) -> None:
    """The server sends some seconds of video and is gone; the node waits for it to come back."""
    clip = tmp_path / "clip.ts"
    write_clip(clip, frames=30)
    lost = threading.Event()

    def serve_once(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(clip.read_bytes())
        server.close()
        wait_until(lambda: line_count(tmp_path / "s.jsonl") >= 1)
        lost.set()

    server = silent_server()
    thread = threading.Thread(target=serve_once, args=(server,))
    thread.start()
    address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    how = ("--policy", "every", "--out", "o.mp4", "--stats", "s.jsonl")
    assert signalled(signal.SIGINT, lost.is_set, "run", address, *NULL, *how) == 0
    thread.join(LONG_S)
    assert balanced(*stats((tmp_path / "s.jsonl").read_bytes()))
    assert decoded(tmp_path / "o.mp4")
