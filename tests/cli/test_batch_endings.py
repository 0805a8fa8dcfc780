"""Batches that are killed, fail or meet the outputs of others: no byte changes, and each says why."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from batch_parts import COMMAND, LEAST, OPENER, clip, outputs, videos
from cli_parts import call
from onnx_models import palette_model

import drivenet
from drivenet.batch.crew import MOST_DEATHS
from drivenet.batch.plan import Segment, plan
from drivenet.batch.pool import in_pool
from drivenet.batch.run import MANIFEST, executor, run
from drivenet.batch.work import Job, is_done
from drivenet.errors import EngineError, NoVideoError, UsageError
from drivenet.labels import CITYSCAPES

pytest.importorskip("pyarrow", reason="pyarrow (extra [batch]) is not installed")


@pytest.fixture
def here(three_clips: Path) -> Path:
    return three_clips


@pytest.mark.parametrize("other", ["cut", "video", "model", "precision", "overlay"])
def test_what_another_command_has_done_is_not_taken_for_its_own(here: Path, other: str) -> None:
    run(videos(here)[:1], OPENER, Job(here / "out"), executor(1), least=LEAST)
    before = outputs(here / "out")
    palette_model(here, "town", CITYSCAPES, size=(16, 24))
    clip(here / "elsewhere" / "one.mp4", 11)
    opener = {**OPENER, **{"model": {"engine": "town.onnx"}, "precision": {"precision": "fp32"}}.get(other, {})}
    files = [here / "elsewhere" / "one.mp4"] if other == "video" else videos(here)[:1]
    with pytest.raises(UsageError, match=rf"out/one/0000\d was made of or with another .*{other}.*another --out"):
        run(
            files,
            opener,
            Job(here / "out", other == "overlay"),
            executor(1),
            least=9 * LEAST if other == "cut" else LEAST,
        )
    assert outputs(here / "out") == before


def test_what_an_earlier_version_has_done_is_kept(here: Path) -> None:
    run(videos(here)[:1], OPENER, Job(here / "out"), executor(1), least=LEAST)
    for file in (here / "out").rglob("segment.json"):
        facts = json.loads(file.read_text())
        file.write_text(json.dumps({k: v for k, v in facts.items() if k not in ("asked", "bytes")}))
    assert run(videos(here)[:1], OPENER, Job(here / "out"), executor(1), least=LEAST) == 0


def test_a_picture_is_no_video(here: Path) -> None:
    picture = here / "street.png"
    cv2.imwrite(str(picture), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(
        NoVideoError, match=r"street\.png is a picture; expected video files; drivenet run takes pictures"
    ):
        plan([picture], LEAST)


def kill_at_work(pid: int, out: Path) -> None:
    """Kill a process as soon as another segment is in hand, from a thread of its own."""
    before = set(out.rglob(".0*/*"))

    def wait_and_kill() -> None:
        while set(out.rglob(".0*/*")) <= before:
            time.sleep(0.002)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    threading.Thread(target=wait_and_kill, daemon=True).start()


def kill_and_wait(pid: int, _: Path) -> None:
    """Kill a process, and go on when it is dead: nothing can be sent to it any more."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("kill", [kill_and_wait, kill_at_work])
def test_killed_workers_change_no_byte(here: Path, kill: Callable[[int, Path], None]) -> None:
    """Of every worker at the beginning, before it has opened its engine, or at work."""
    job, alone = Job(here / "pool"), Job(here / "alone")
    run(videos(here), OPENER, alone, executor(1), least=LEAST)
    killed: list[int] = []

    def started(pid: int) -> None:
        if len(killed) < 4:
            killed.append(pid)
            kill(pid, job.out)

    done = run(videos(here), OPENER, job, lambda s, o, j: in_pool(s, 2, o, j, started), least=LEAST)
    assert done == 6
    assert len(killed) == 4
    assert outputs(job.out) == outputs(alone.out)


@pytest.mark.parametrize(
    ("kill", "says"), [(kill_and_wait, "opening the engine"), (kill_at_work, r"segment 0 of .*town/one\.mp4")]
)
def test_what_kills_every_worker_ends_the_run(here: Path, kill: Callable[[int, Path], None], says: str) -> None:
    def pool(*args: object) -> Iterator[Segment]:
        return in_pool(*args[:1], 1, *args[1:], lambda pid: kill(pid, here / "out"))  # type: ignore[arg-type]

    with pytest.raises(EngineError, match=f"{says} killed {MOST_DEATHS} workers"):
        run(videos(here)[:1], OPENER, Job(here / "out"), pool, least=LEAST)


def test_what_a_worker_raises_is_raised(here: Path) -> None:
    (here / "city.json").unlink()
    Path("city.onnx").write_bytes(b"no model")
    with pytest.raises(EngineError) as raised:
        run(videos(here), OPENER, Job(here / "out"), executor(2), least=LEAST)
    assert "city.onnx" in str(raised.value)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_where_nobody_listens_is_told_before_anything_is_done(here: Path, scheme: str) -> None:
    """Without waiting for Ray, which would try for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"{scheme}127.0.0.1:{port}", f"{scheme}127.0.0.1:{port}0000"):
        with pytest.raises(EngineError, match=rf"no Ray cluster at {address}: .*; expected ray://HOST:PORT"):
            run(videos(here), OPENER, Job(here / "out"), executor(2, address), least=LEAST)
    assert not list((here / "out").glob("*/*")), "nothing was begun"


def test_a_killed_driver_goes_on_where_it_was(here: Path) -> None:
    """Its workers end with it, and the second run gives the bytes of one that was not killed."""
    command = [sys.executable, "-m", "drivenet", *map(str, COMMAND), "--workers", "2", "--segment-frames", str(LEAST)]
    environment = {**os.environ, "PYTHONPATH": str(Path(drivenet.__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as driver:
        until = time.monotonic() + 90
        while not list((here / "out").glob("*/*/0*/segment.json")) and driver.poll() is None:
            assert time.monotonic() < until, "nothing is ever done"
            time.sleep(0.02)
        driver.kill()
    segments = plan(videos(here), LEAST)
    assert any(is_done(s, here / "out") for s in segments)
    assert call(*COMMAND, "--workers", 2, "--segment-frames", LEAST) == 0
    assert call(*COMMAND[:-1], "alone", "--segment-frames", LEAST) == 0
    assert outputs(here / "out") == outputs(here / "alone")
    lines = [json.loads(line) for line in (here / "out" / MANIFEST).read_text().splitlines()]
    assert [(line["output"], line["number"]) for line in lines] == [(s.output, s.number) for s in segments]


@pytest.mark.parametrize(
    ("code", "says", "options"),
    [
        (3, "no videos match nothing/*.mp4", ("batch", "nothing/*.mp4", "--out", "out")),
        (5, "cannot write", ("batch", "videos/town/one.mp4", "--out", "city.onnx")),
        (4, "no engine 'gone'", ("batch", "videos/town/one.mp4", "--out", "out", "--engine", "gone")),
    ],
)
def test_what_cannot_be_right_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], code: int, says: str, options: tuple[str, ...]
) -> None:
    assert call(*options) == code
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1
