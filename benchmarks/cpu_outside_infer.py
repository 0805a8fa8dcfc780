"""Processor time a frame that a run takes outside of the engine, by thread.

    python benchmarks/cpu_outside_infer.py CLIP [--onnx FILE] [--backend NAME] [--frames N] [--rounds N] [--view]

Closed loop over the first frames of a clip, from the tenth to the tenth before the last; OpenCV has one thread, as in
``drivenet run``. What the threads of the engine take is left out: its own one, and with several (--threads) those that
its library starts, and a decoder with them. The first round warms up.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from pathlib import Path
from statistics import median
from typing import Any

import cv2

from drivenet import Pipeline, Sink, open_engine, open_source
from drivenet.engine.base import Engine
from drivenet.engine.shared import SharedEngine
from drivenet.sinks.jsonl import JsonlSink

_EDGE = 10
_TASKS = Path("/proc/self/task")


class Watch(Sink):
    """Notes what every thread has used near the first frame and near the last.

    Args:
        frames: how many there are.
        needs_view: whether overlays are drawn.
    """

    name = "watch"

    def __init__(self, frames: int, needs_view: bool) -> None:
        self.needs_view = needs_view
        self._first, self._last = _EDGE, frames - _EDGE
        self._used: dict[int, dict[int, tuple[str, int]]] = {}

    def publish(self, result: Any) -> None:
        """Look at two of them."""
        if result.frame.index in (self._first, self._last):
            self._used[result.frame.index] = used()

    def ms_a_frame(self) -> dict[str, float]:
        """By the names of threads."""
        before, after = self._used[self._first], self._used[self._last]
        out: dict[str, float] = {}
        for thread, (name, ns) in after.items():
            spent = ns - (before[thread][1] if thread in before else 0)
            out[name] = out.get(name, 0.0) + spent / 1e6 / (self._last - self._first)
        return out


def used() -> dict[int, tuple[str, int]]:
    """Name and nanoseconds of processor time by thread: Python's by their names, others by those of the system."""
    known = {thread.native_id: thread.name for thread in threading.enumerate()}
    out: dict[int, tuple[str, int]] = {}
    for task in _TASKS.iterdir():
        name = known.get(int(task.name)) or (task / "comm").read_text().strip()
        out[int(task.name)] = name, int((task / "schedstat").read_text().split()[0])
    return out


def one_round(told: argparse.Namespace, engine: Engine) -> dict[str, float]:
    """Milliseconds a frame by thread."""
    watch = Watch(told.frames, told.view)
    with tempfile.TemporaryDirectory() as folder:
        sinks = [watch, *([JsonlSink(Path(folder) / "stats.jsonl")] if told.stats else [])]
        source = open_source(str(told.clip), paced=False)
        Pipeline(source, engine, sinks, policy="every", max_frames=told.frames).run()
    return watch.ms_a_frame()


def main() -> None:
    """Print one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--onnx", type=Path, default=Path("engines/fast.onnx"))
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stats", action="store_true", help="write a stats file")
    parser.add_argument("--view", action="store_true", help="draw overlays")
    told = parser.parse_args()
    cv2.setNumThreads(1)
    shared = SharedEngine(open_engine(told.onnx, told.backend, told.precision, threads=told.threads))
    rows = [one_round(told, shared.lend()) for _ in range(told.rounds + 1)][1:]
    shared.close()
    # threads of libraries have the name of the process: with one thread an engine starts none, a decoder may
    of_engine = (told.backend, "python") if told.threads > 1 else (told.backend,)
    outside = [sum(ms for name, ms in row.items() if name not in of_engine) for row in rows]
    names = sorted(set().union(*rows))
    found = {
        "outside_ms": round(median(outside), 2),
        "rounds": [round(one, 2) for one in outside],
        "by_thread": {name: round(median(row.get(name, 0.0) for row in rows), 3) for name in names},
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
