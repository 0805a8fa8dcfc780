"""Rates of one, two and four sources on one engine, in interleaved runs on one clip.

    python benchmarks/several_sources.py CLIP [--engine NAME] [--backend NAME] [--frames N] [--rounds N] [--json FILE]

Closed loop: every source is read as fast as it is processed, and every frame of it. A rate is that of one source; the
ratio is to the rate of one source alone in the same round. All have as many lanes as ``drivenet run`` has by itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

from drivenet import Pipeline, Sink, open_source
from drivenet.benchmark.lent import Lent
from drivenet.engine.base import Engine
from drivenet.engine.laned import open_for_many
from drivenet.engine.shared import SharedEngine
from drivenet.node import Node

COUNTS = (2, 4)


class Nothing(Sink):
    """Takes results and does nothing."""

    name, needs_view = "nothing", False

    def publish(self, result: Any) -> None:
        """Take one."""


def alone(clip: str, frames: int, engine: Engine) -> float:
    """Published frames a second of one source."""
    source = open_source(clip, paced=False)
    totals = Pipeline(source, Lent(engine), [Nothing()], policy="every", max_frames=frames).run()
    return float(totals.fps["published"] or 0.0)


def rates(clip: str, count: int, frames: int, shared: SharedEngine) -> list[float]:
    """Published frames a second of each of so many sources that run at once."""
    node = Node(
        {
            f"s{n}": Pipeline(
                open_source(clip, paced=False), shared.lend(), [Nothing()], policy="every", max_frames=frames,
                source_id=f"s{n}",
            )
            for n in range(count)
        }
    )  # fmt: skip
    return [float(one.fps["published"] or 0.0) for one in node.run().values()]


def main() -> None:
    """Print the figures, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--engine")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    engine = open_for_many(chosen.engine, chosen.backend, "auto", chosen.threads)
    shared = SharedEngine(engine)
    alone(chosen.clip, 20, engine)  # warm-up
    rounds = [
        {1: [alone(chosen.clip, chosen.frames, engine)]}
        | {n: rates(chosen.clip, n, chosen.frames, shared) for n in COUNTS}
        for _ in range(chosen.rounds)
    ]
    bases = [one[1][0] for one in rounds]
    found = {
        "engine": engine.describe(),
        "frames": chosen.frames,
        "rounds": chosen.rounds,
        "alone_fps": round(median(bases), 2),
        "ratio_of_each": {
            n: {
                "slowest": round(median(min(one[n]) / base for one, base in zip(rounds, bases, strict=True)), 3),
                "fastest": round(median(max(one[n]) / base for one, base in zip(rounds, bases, strict=True)), 3),
            }
            for n in COUNTS
        },
    }
    shared.close()
    print(json.dumps(found, indent=1, default=str))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
