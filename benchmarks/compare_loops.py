"""drivenet with a recording against the loop most people write, in interleaved turns of one process.

    python benchmarks/compare_loops.py CLIP --onnx engines/fast.onnx --turns 9 --frames 120

Each turn takes every program over the first frames of the clip and records overlays. What else the machine does meets
all alike; the medians over the turns are compared. CPU time is that of the whole process in a turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from plain_loop import PlainLoop

from drivenet.benchmark.lent import Lent
from drivenet.cli.served import lanes_of
from drivenet.config import NodeSettings
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.engine.candidates import candidates
from drivenet.engine.fastest import open_measured
from drivenet.engine.laned import in_lanes
from drivenet.pipeline import Pipeline
from drivenet.sinks import open_sink
from drivenet.sources import open_source

PLAIN = {"plain loop, float logits and NumPy argmax": True, "plain loop, ids from the graph": False}


def drivenet_turn(engine: Engine, clip: Path, out: Path, frames: int) -> None:
    """What ``drivenet run CLIP --out OUT --policy every`` does between opening and the end."""
    source = open_source(str(clip), paced=False)
    sink = open_sink(out, fps=source.fps, visualize="overlay")
    Pipeline(source, Lent(engine), [sink], policy="every", max_frames=frames).run()


def engines(onnx: Path, clip: Path) -> dict[str, Engine]:
    """The fp32 engine of a plain install, and what ``drivenet run`` takes by itself on this machine."""
    lanes = lanes_of(NodeSettings(source=str(clip), out=("overlay.mp4",)))
    found = {"drivenet, onnxruntime fp32": open_engine(onnx, "onnxruntime", lanes=lanes)}
    measured = open_measured(onnx, candidates(onnx), None, True, lanes)
    if measured is not None:
        found[f"drivenet, {measured[0].backend} {measured[0].precision} (auto)"] = measured[0]
    return {name: in_lanes(engine, lanes) for name, engine in found.items()}


def measure(turns: dict[str, Callable[[Path], object]], count: int, frames: int) -> dict[str, dict[str, float]]:
    """Median frames a second and milliseconds of CPU time a frame of each program."""
    fps: dict[str, list[float]] = {name: [] for name in turns}
    cpu: dict[str, list[float]] = {name: [] for name in turns}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(-1, count):  # the first warms up
            for i, (name, program) in enumerate(turns.items()):
                started, used = time.monotonic(), time.process_time()
                program(Path(folder) / f"{i}-{turn + 1}.mp4")
                if turn >= 0:
                    fps[name].append(frames / (time.monotonic() - started))
                    cpu[name].append(1e3 * (time.process_time() - used) / frames)
    return {
        name: {"fps": round(statistics.median(fps[name]), 1), "cpu_ms": round(statistics.median(cpu[name]), 2)}
        for name in turns
    }


def main() -> None:
    """Compare, and print one JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--onnx", type=Path, default=Path("engines/fast.onnx"))
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--frames", type=int, default=120)
    told = parser.parse_args()
    turns: dict[str, Callable[[Path], object]] = {}
    for name, logits in (
        ("plain loop, float logits and NumPy argmax", True),
        ("plain loop, ids from the graph", False),
    ):
        loop = PlainLoop(told.onnx, logits)
        turns[name] = lambda out, loop=loop: loop.run(told.clip, out, told.frames)
    for name, engine in engines(told.onnx, told.clip).items():
        turns[name] = lambda out, engine=engine: drivenet_turn(engine, told.clip, out, told.frames)
    rows = measure(turns, told.turns, told.frames)
    plain = [row["fps"] for name, row in rows.items() if name.startswith("plain")]
    for row in rows.values():
        row["times_logits"], row["times_ids"] = (round(row["fps"] / fps, 2) for fps in plain)
    print(json.dumps({"turns": told.turns, "frames": told.frames, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
