"""Runs the command line: in this process where that is enough, else as the program that users start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

import drivenet
from drivenet import cli
from drivenet.cli import output
from drivenet.labels import CAMVID
from drivenet.log import PlainFormatter

#: Bound on what must happen at some time; only a hanging test gets there.
LONG_S = 90.0


def call(*args: object) -> int:
    """The exit code of a command that runs in this process. What it prints is pytest's to capture."""
    argv, sys.argv = sys.argv, ["drivenet", *map(str, args)]
    _forget_help(str(args[0]))
    try:
        return cli._run()
    finally:
        sys.argv, output.log_formatter = argv, PlainFormatter()


def _forget_help(name: str) -> None:
    """Click keeps the first help option of a command: one without -h, where a test parsed it without drivenet."""
    module, _, command = cli.COMMANDS.get(name, ("", ""))[0].partition(":")
    if module in sys.modules:
        vars(getattr(sys.modules[module], command))["_help_option"] = None


@contextmanager
def started(
    *args: object, cwd: Path, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, session: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m drivenet`` with its output in pipes, in a session of its own if wanted; killed at the end if it is
    still there.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    places = [str(Path(drivenet.__file__).parents[1]), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    command = [sys.executable, "-W", "error", "-m", "drivenet", *map(str, args)]
    process = subprocess.Popen(
        command, cwd=cwd, stdout=stdout, stderr=stderr, env=environment, start_new_session=session
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(true: Callable[[], object]) -> None:
    """Return once something outside this process has happened."""
    until = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)


def line_count(path: Path) -> int:
    """Whole lines in a file that may not be there yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def stats(text: str | bytes) -> tuple[list[dict], dict | None]:
    """Frame lines and the summary, if there is one, of a stats file in which every line must be whole; no events."""
    text = text.decode() if isinstance(text, bytes) else text
    assert not text or text.endswith("\n")
    found = [json.loads(line) for line in text.splitlines()]
    summary = found.pop() if found and found[-1]["type"] == "summary" else None
    assert {f["type"] for f in found} <= {"frame", "event"}
    return [f for f in found if f["type"] == "frame"], summary


def balanced(frames: list[dict], summary: dict | None) -> bool:
    """Whether the summary is there, equals the lines, and accounts for every captured frame."""
    assert summary is not None
    assert summary["published"] == len(frames) == summary["latency_ms"]["end_to_end"]["n"]
    return bool(summary["captured"] == summary["published"] + sum(summary["dropped"].values()))


def decoded(path: Path) -> list[np.ndarray]:
    """The pictures of a recording."""
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]


def write_clip(path: Path, frames: int = 6, size: tuple[int, int] = (96, 64), sound_only: bool = False) -> Path:
    """A small recording of noise, or of silence."""
    with av.open(str(path), "w") as container:
        if sound_only:
            sound = container.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(sound.encode(frame))
            container.mux(sound.encode())
            return path
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = size
        rng = np.random.default_rng(0)
        for _ in range(frames):
            picture = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


def write_checkpoint(path: Path, size: tuple[int, int]) -> None:
    """A tiny network as training leaves it, for pictures of this height and width; needs the extra [train]."""
    from drivenet.models import checkpoint, create

    options = {"width": 0.25, "semantic": 0.5, "head": 16}
    settings = {"name": "tiny", "model": {"architecture": "bisenetv2", "options": options}, "input": list(size),
                "data": {"dataset": "synthetic", "synthetic_share": 1.0}, "batch": 4, "seed": 7}  # fmt: skip
    network = create("bisenetv2", len(CAMVID), options).state_dict()
    progress = {"minutes": 1.0, "iteration": 1, "best": 0.1}
    checkpoint.save(path, {"network": network, "settings": settings, "labels": "camvid", "progress": progress})
