"""Builds what is missing of a model in a process of its own that takes only idle time and outlives the run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from drivenet.build.missing import build_missing, sole_builder


def start(onnx: Path, threads: int | None = None) -> None:
    """Start it, if it can be started; the run that asks does not wait for it, and Ctrl-C does not reach it."""
    package = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "drivenet.build.background", str(onnx.resolve()), str(threads or 0)]
    with contextlib.suppress(OSError):
        subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def main() -> None:
    """``python -m drivenet.build.background FILE.onnx THREADS``; nothing if somebody else is at it."""
    onnx, threads = Path(sys.argv[1]), int(sys.argv[2]) or None
    os.nice(19)
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with sole_builder(onnx, idle=True) as alone:
        if alone:
            build_missing(onnx, threads)


if __name__ == "__main__":
    main()
