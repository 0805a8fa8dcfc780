"""Nodes under their parent, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import drivenet

ROOT = Path(drivenet.__file__).parents[1]
NODE = ("run", "synthetic://160x96@30", "--backend", "null", "--headless")
PATIENCE_S = 100.0


@contextmanager
def started(*command: str, cwd: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process with its errors in ``err``; it and its children are gone at the end."""
    with (cwd / "err").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", *command], cwd=cwd, stderr=errors, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )  # fmt: skip
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(true: Callable[[], object], why: str = "") -> None:
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, why or "it never happened"
        time.sleep(0.02)


def published(path: Path) -> bool:
    return path.exists() and b'"frame"' in path.read_bytes()


def the_child(parent: subprocess.Popen[str], *but: int) -> int:
    found: list[int] = []

    def is_there() -> bool:
        found[:] = [pid for pid in children(parent.pid) if pid not in but]
        return bool(found)

    wait_until(is_there)
    return found[0]
