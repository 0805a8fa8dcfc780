"""Batches under fire: workers, Ray's nodes and the command itself are killed, and no byte of the outputs changes.

``DRIVENET_BATCH_KILLS=25`` is the long form: 25 workers and 5 commands.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from batch_parts import OPENER, clip, outputs, videos
from onnx_models import palette_model

import drivenet
from drivenet.batch.plan import plan
from drivenet.batch.run import MANIFEST, executor, run
from drivenet.batch.work import Job
from drivenet.labels import CITYSCAPES

pytestmark = pytest.mark.slow

pytest.importorskip("pyarrow", reason="pyarrow (extra [batch]) is not installed")
WORKER_KILLS = int(os.environ.get("DRIVENET_BATCH_KILLS", "5"))
DRIVER_KILLS = WORKER_KILLS // 5
CLIPS, LEAST, WORKERS = 12, 5, 2
#: A minute more for each ten kills: what dies has to start again.
TIMEOUT = 300 + 12 * WORKER_KILLS


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve clips, a model, and the outputs of a single process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(drivenet.__file__).parents[1]))
    palette_model(tmp_path, "city", CITYSCAPES)
    for i in range(CLIPS):
        clip(tmp_path / "videos" / f"{i:02d}.mp4", 7 * i)
    run(videos(Path()), OPENER, Job(tmp_path / "alone"), executor(1), least=LEAST)
    return tmp_path


class Fire:
    """A ``drivenet batch`` that is started again whenever it was killed, and into another folder if it is done before
    all kills are.

    Args:
        here: its folder.
        options: of the command.
        workers: numbers of the processes that may be killed.
    """

    def __init__(self, here: Path, options: tuple[str, ...], workers: Callable[[int], list[int]]) -> None:
        self._here, self._options, self._workers, self._dice = here, options, workers, random.Random(0)
        self._said = here / "said"
        self._rounds = 0
        self._begin()

    def _begin(self) -> None:
        """A round: the whole batch, into a folder of its own."""
        self._rounds += 1
        self.out = self._here / f"out{self._rounds}"
        self._began: set[str] = set()
        self.done: dict[Path, tuple[int, int]] = {}
        self._start()

    def _start(self) -> None:
        command = [
            sys.executable, "-m", "drivenet", "batch", "videos/*.mp4", "--out", self.out.name, "--engine", "city.onnx",
            "--backend", "onnxruntime", "--threads", "1", "--segment-frames", str(LEAST), *self._options,
        ]  # fmt: skip
        with self._said.open("ab") as said:
            self.driver = subprocess.Popen(command, stdout=said, stderr=said)

    def _over(self) -> bool:
        """Whether the batch is done; what it wrote is looked at."""
        ended = self.driver.poll()
        assert not ended, self._said.read_text()
        self._look()
        return ended == 0

    def _wait_for(self, segments: int) -> None:
        """Go on when so many further segments were begun, and then at any time."""
        goal = len(self._began) + segments
        while len(self._began) < goal and not self._over():
            time.sleep(0.002)
        time.sleep(self._dice.uniform(0, 0.05))

    def _look(self) -> None:
        self._began |= {scratch.name for scratch in self.out.glob("*/.[0-9]*")}
        for facts in self.out.glob("*/[0-9]*/segment.json"):
            self.done.setdefault(facts, made(facts))

    def kill_worker(self) -> bool:
        """One of them, by SIGKILL; False if the batch is done before there is one."""
        while not self._over():
            if pids := self._workers(self.driver.pid):
                with suppress(ProcessLookupError):
                    os.kill(self._dice.choice(pids), signal.SIGKILL)
                return True
            time.sleep(0.002)
        return False

    def kill_driver(self) -> bool:
        """The command itself; the same command goes on. False if it is done."""
        if self._over():
            return False
        self.driver.kill()
        self.driver.wait()
        self._start()
        return True

    def rage(self, *more: Callable[[], bool]) -> None:
        """All kills, shuffled, with those of a Ray node in between; then wait for the end, and check."""
        kills = [self.kill_worker] * WORKER_KILLS + [self.kill_driver] * DRIVER_KILLS + list(more)
        self._dice.shuffle(kills)
        counts: Counter[str] = Counter()
        try:
            while kills:
                self._wait_for(self._dice.randint(1, 2))
                if kills[-1]():
                    counts[kills.pop().__name__] += 1
                else:
                    check(self._here, self)
                    self._begin()
            while not self._over():
                time.sleep(0.002)
            check(self._here, self)
        finally:
            self.driver.kill()
            self.driver.wait()
        print(dict(counts), "in", self._rounds, "batches")


def made(file: Path) -> tuple[int, int]:
    """Which file it is, and since when."""
    return file.stat().st_ino, file.stat().st_mtime_ns


def check(here: Path, fire: Fire) -> None:
    """The bytes are those of a single process, the manifest holds each segment once, and none was done twice."""
    assert outputs(fire.out) == outputs(here / "alone")
    lines = [json.loads(line) for line in (fire.out / MANIFEST).read_text().splitlines()]
    segments = plan(videos(Path()), LEAST)
    assert [(line["output"], line["number"]) for line in lines] == [(s.output, s.number) for s in segments]
    assert len(segments) == 4 * CLIPS
    assert fire.done
    assert fire.done == {facts: made(facts) for facts in fire.done}


def children(pid: int) -> list[int]:
    """Numbers of the processes that a process started."""
    with suppress(OSError):
        return [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()]  # fmt: skip
    return []


def title(pid: int) -> str:
    """What a process says that it is."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


@pytest.mark.timeout(TIMEOUT)
def test_a_pool_under_fire(here: Path) -> None:
    def workers(driver: int) -> list[int]:
        return [pid for pid in children(driver) if "spawn_main" in title(pid)]

    Fire(here, ("--workers", str(WORKERS)), workers).rage()


@pytest.fixture
def cluster(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes on this machine, each with room for two actors, which are not as nice as Ray would have them."""
    pytest.importorskip("ray", reason="ray (extra [cluster]) is not installed")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    from ray.cluster_utils import Cluster

    found = Cluster()
    for _ in range(2):
        found.add_node(num_cpus=WORKERS, include_dashboard=False)
    yield found
    found.shutdown()


@pytest.mark.timeout(4 * TIMEOUT)
def test_a_ray_cluster_under_fire(here: Path, cluster: Any) -> None:
    """Actors, a node with all that is on it, and the driver."""

    def raylets() -> list[int]:
        return [info.process.pid for node in cluster.list_all_nodes()
                for info in node.all_processes.get("raylet", [])]  # fmt: skip

    def actors(_: int) -> list[int]:
        return [pid for raylet in raylets() for pid in children(raylet) if title(pid).startswith("ray::Hand")]

    def kill_node() -> bool:
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        cluster.add_node(num_cpus=WORKERS)
        return True

    Fire(here, ("--workers", str(WORKERS), "--address", cluster.address), actors).rage(kill_node)
