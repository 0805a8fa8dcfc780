"""A Ray of this machine alone that does not start, or dies at work: one line, and nothing is left over."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from batch_parts import COMMAND, OPENER, clip, outputs, videos
from cli_parts import call
from mqtt_broker import free_port
from onnx_models import palette_model

import drivenet
from drivenet.batch.run import MANIFEST, executor, run
from drivenet.batch.work import Job
from drivenet.errors import EngineError, SourceNotFoundError, UsageError
from drivenet.labels import CITYSCAPES

pytest.importorskip("pyarrow", reason="pyarrow (extra [batch]) is not installed")
pytest.importorskip("ray", reason="ray (extra [cluster]) is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
LEAST = 5

#: The command with another program in the raylet's place.
WITH_RAYLET = """
import sys
from ray._private import services
from drivenet.cli import main
services.RAYLET_EXECUTABLE = sys.argv.pop(1)
main()
"""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Ray's folder; sockets are in it, whose paths are short."""
    folder = Path(tempfile.mkdtemp(prefix="r"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def batch(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.Popen[str]]:
    """Starts ``drivenet batch --address local`` on six clips; arguments stand before its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(drivenet.__file__).parents[1]))
    monkeypatch.setenv("RAY_TMPDIR", str(temporary))
    monkeypatch.setenv("RAY_worker_niceness", "0")
    palette_model(tmp_path, "city", CITYSCAPES)
    for i in range(6):
        clip(tmp_path / "videos" / f"{i}.mp4", 7 * i, 300)

    def start(*python: str, address: str = "local") -> subprocess.Popen[str]:
        options = ("--address", address, "--workers", "1", "--segment-frames", str(LEAST))
        command = [sys.executable, *(python or ("-m", "drivenet")), *map(str, COMMAND), *options]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    return start


def of_ray(temporary: Path) -> dict[int, str]:
    """Processes with this folder in their environment, but for the command's own."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(temporary).encode() in (process / "environ").read_bytes():
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return {pid: title for pid, title in found.items() if title and "--segment-frames" not in title}


def wait_until(true: Callable[[], object]) -> None:
    while not true():
        time.sleep(0.1)


def is_one_line(said: str, begins: str) -> bool:
    last = said.strip().splitlines()[-1]
    return last.startswith(f"drivenet: {begins}") and "; expected " in last and "Traceback" not in said


def test_ray_without_its_client(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As after ``pip install ray``; a Ray of this machine alone needs none."""
    monkeypatch.setitem(sys.modules, "grpc", None)
    assert call("batch", "none.mp4", "--out", "out", "--address", "HOST:6379") == UsageError.exit_code
    assert "--address HOST:6379 needs grpc; pip install 'drivenet[cluster]'" in capsys.readouterr().err
    assert call("batch", "none.mp4", "--out", "out", "--address", "local") == SourceNotFoundError.exit_code


def test_a_raylet_that_does_not_start(batch: Callable[..., subprocess.Popen[str]], temporary: Path) -> None:
    """Ray raises a bare Exception then."""
    command = batch("-c", WITH_RAYLET, shutil.which("false") or "")
    _, said = command.communicate()
    assert command.returncode == EngineError.exit_code, said
    assert is_one_line(said, "Ray does not start on this machine: "), said
    wait_until(lambda: not of_ray(temporary))


def test_more_threads_than_processors(batch: Callable[..., subprocess.Popen[str]], temporary: Path) -> None:
    """No actor of so many would ever have room."""
    threads = (os.cpu_count() or 1) + 1
    script = f"import sys; sys.argv += ['--threads', '{threads}']; from drivenet.cli import main; main()"
    command = batch("-c", script)
    _, said = command.communicate()
    assert command.returncode == UsageError.exit_code, said
    assert is_one_line(said, f"--threads {threads} with --address local"), said
    wait_until(lambda: not of_ray(temporary))


@pytest.fixture
def small_cluster(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cluster with one node of one processor; its address."""
    port, ray = free_port(), Path(sys.executable).with_name("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # as ray start wants it
    node = ("--num-cpus=1", "--include-dashboard=false", "--node-ip-address=127.0.0.1", f"--temp-dir={temporary}")
    subprocess.run([ray, "start", "--head", f"--port={port}", *node], check=True, stdout=subprocess.DEVNULL)
    yield f"127.0.0.1:{port}"
    for pid in of_ray(temporary):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_cluster_whose_nodes_are_too_small_for_the_threads(
    batch: Callable[..., subprocess.Popen[str]], small_cluster: str
) -> None:
    """Its actor waits for a larger node, which was not told."""
    script = "import sys; sys.argv += ['--threads', '2']; from drivenet.cli import main; main()"
    command = batch("-c", script, address=small_cluster)
    assert command.stderr is not None
    told = next((line for line in command.stderr if "processors" in line), "")
    assert "nodes of at most 1 processors; the batch waits for one of 2" in told
    command.kill()
    command.communicate()


def test_a_raylet_that_dies_at_work(batch: Callable[..., subprocess.Popen[str]], temporary: Path) -> None:
    """Ray would wait for ever for another node. What was done is kept; the same command does the rest."""
    command, done = batch(), Path("out")
    wait_until(lambda: list(done.glob("*/[0-9]*/segment.json")) or command.poll() is not None)
    (victim,) = (pid for pid, title in of_ray(temporary).items() if "raylet/raylet" in title)
    os.kill(victim, signal.SIGKILL)
    _, said = command.communicate()
    assert command.returncode == EngineError.exit_code, said
    assert is_one_line(said, "the Ray cluster at local is lost: "), said
    wait_until(lambda: not of_ray(temporary))
    assert (done / MANIFEST).read_text(), "what is done is listed"
    again = batch()
    _, said = again.communicate()
    assert again.returncode == 0, said
    run(videos(Path()), OPENER, Job(Path("alone")), executor(1), least=LEAST)
    assert outputs(done) == outputs(Path("alone"))
    wait_until(lambda: not of_ray(temporary))
