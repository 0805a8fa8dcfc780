#!/usr/bin/env python3
"""What watching and recording cost the node: infer with and without sinks, slow viewers, and a crowd of viewers.

    python tools/measure_sinks.py CLIP.mp4                     # about 4 minutes -> benchmarks/results/sinks.json
    python tools/measure_sinks.py CLIP.mp4 --only load --rounds 2 --out /tmp/try.json

Linux, with the extras [web], [robotics] and [test], and Chromium.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from crowd import crowd, slow_viewer
from node_under_test import NodeUnderTest, repeated
from watchers import Browser, MjpegReader, chromium

from drivenet.benchmark import environment
from drivenet.files import write_atomic

RATE = 30.0
#: Before the figures of a run count: viewers have come, caches are warm.
WARMUP_S = 3.0
_END_S = 0.7
CONTRACT = {
    "stage": "infer: from the prepared picture to class ids on the host",
    "clock": "time.monotonic_ns",
    "clip": f"falls due at {RATE:g} Hz, policy latest, a new drivenet run for every turn",
    "order": "without and with sinks in turns, the first one changes every round",
    "warm_up": f"frames captured until {WARMUP_S:g} s after the first one, and after the last viewer has a picture, "
    "are left out",
    "statistics": "--stats in all runs",
}


def play(clip: Path, seconds: float, engine: list[str], folder: Path, browser: Browser | None) -> dict[str, Any]:
    """One run to the end of the clip, watched and recorded if there is a browser."""
    watched = ["--serve", "127.0.0.1:0", "--out", str(folder / "drive.mcap")] if browser else []
    with NodeUnderTest(clip, RATE, folder / "stats.jsonl", [*engine, *watched]) as node:
        reader = MjpegReader(node.port) if browser else None
        if browser:
            browser.open(node.port)
        first_ns = node.first_captured_ns()
        time.sleep(WARMUP_S)
        begun_ns = time.monotonic_ns()
        cpu = {"node": node.cpu_s(), **({"browser": browser.cpu_s()} if browser else {})}
        seen = {"page": browser.pictures, "mjpeg": reader.pictures} if browser and reader else {}
        time.sleep(max(0.0, seconds - _END_S - (begun_ns - first_ns) / 1e9))
        took = (time.monotonic_ns() - begun_ns) / 1e9
        cpu = {"node": node.cpu_s() - cpu["node"], **({"browser": browser.cpu_s() - cpu["browser"]} if browser else {})}
        if browser and reader:
            seen = {"page": browser.pictures - seen["page"], "mjpeg": reader.pictures - seen["mjpeg"]}
        node.process.wait(60)
        frames, summary = node.lines()
    if browser and reader:
        reader.close()
        browser.leave()
    return {
        "frames": [f for f in frames if f["captured_ns"] >= begun_ns],
        "cores": {who: used / took for who, used in cpu.items()},
        "viewer_fps": {who: n / took for who, n in seen.items()},
        "summary": summary,
    }


def figures(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What several runs of one kind come to."""
    frames = [f for run in runs for f in run["frames"]]

    def ms(stage: str) -> dict[str, float]:
        values = [f["end_to_end_ms"] if stage == "end_to_end" else f["stages_ms"][stage] for f in frames]
        p50, p90 = np.percentile(values, [50, 90])
        return {"p50": round(p50, 2), "p90": round(p90, 2), "max": round(max(values), 2)}

    def mean(key: str) -> dict[str, float]:
        return {who: round(float(np.mean([run[key][who] for run in runs])), 2) for who in runs[0][key]}

    totals = [run["summary"] for run in runs]
    return {
        "n": len(frames),
        "infer_p50_by_round": [_median_ms(run["frames"]) for run in runs],
        "latency_ms": {stage: ms(stage) for stage in ("queue", "infer", "publish", "end_to_end")},
        "processor_cores_used": mean("cores"),
        "viewer_fps": mean("viewer_fps"),
        "captured": sum(t["captured"] for t in totals),
        "published": sum(t["published"] for t in totals),
        "dropped": {reason: sum(t["dropped"].get(reason, 0) for t in totals) for reason in totals[0]["dropped"]},
        "sinks": {name: {k: sum(t["sinks"][name][k] for t in totals) for k in counts}
                  for name, counts in totals[0]["sinks"].items()},
    }  # fmt: skip


def _median_ms(frames: list[dict[str, Any]]) -> float:
    return round(float(np.median([f["stages_ms"]["infer"] for f in frames])), 2)


def load(clip: Path, times: int, rounds: int, engine: list[str], nice: int) -> dict[str, Any]:
    """``infer`` without a sink, and with the page open, an MJPEG reader and an MCAP recording."""
    runs: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as scratch, chromium(nice) as browser:
        folder = Path(scratch)
        long = folder / f"clip{clip.suffix}"
        seconds = repeated(clip, times, long) / RATE
        for turn in range(rounds):
            for watched in (False, True) if turn % 2 == 0 else (True, False):
                runs[watched].append(play(long, seconds, engine, folder, browser if watched else None))
                click.echo(f"round {turn + 1}, {'with' if watched else 'without'} sinks: infer p50 "
                           f"{figures(runs[watched][-1:])['latency_ms']['infer']['p50']} ms", err=True)  # fmt: skip
        watchers = {**browser.describe(), "mjpeg": "one reader, which decodes nothing", "mcap": "one recording"}
    without, with_ = figures(runs[False]), figures(runs[True])
    p50 = [f["latency_ms"]["infer"]["p50"] for f in (without, with_)]
    return {
        "contract": CONTRACT,
        "rounds": rounds,
        "watchers": watchers,
        "engine": runs[True][0]["summary"]["engine"],
        "without_sinks": without,
        "page_mjpeg_mcap": with_,
        "infer_p50_ratio": round(p50[1] / p50[0], 3),
    }


def viewers(clip: Path, engine: list[str], seconds: float) -> dict[str, Any]:
    """What viewers do to each other, and many of them to the node."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        long = folder / f"clip{clip.suffix}"
        repeated(clip, 40, long)
        options = [*engine, "--serve", "127.0.0.1:0"]
        with NodeUnderTest(long, RATE, folder / "stats.jsonl", options) as node:
            slow = slow_viewer(node.port)
            click.echo(f"one viewer at 1 byte/s: {slow['rate_ratio']}", err=True)
            return {"slow_viewer": slow, "crowd": crowd(node, seconds)}


@click.command()
@click.argument("clip", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--engine", help="Of drivenet run [default: its own].")
@click.option("--backend", default="onnxruntime", show_default=True)
@click.option("--rounds", default=4, show_default=True, help="Of the load: one run each without and with sinks.")
@click.option("--times", default=2, show_default=True, help="The clip in a row in each run.")
@click.option("--browser-nice", default=0, show_default=True, help="Lower the browser's priority by so much.")
@click.option("--crowd-s", default=60.0, show_default=True, help="How long 200 viewers come.")
@click.option("--only", type=click.Choice(["load", "viewers"]))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("benchmarks/results/sinks.json"), show_default=True
)
def main(clip: Path, engine: str | None, backend: str, rounds: int, times: int, browser_nice: int, crowd_s: float,
         only: str | None, out: Path) -> None:  # fmt: skip
    """Write one JSON, and the figures that matter to standard error."""
    chosen = ["--backend", backend, *(["--engine", engine] if engine else [])]
    report: dict[str, Any] = {"environment": environment(), "clip": clip.name, "load_average": os.getloadavg()[0]}
    if only != "viewers":
        report["load"] = load(clip, times, rounds, chosen, browser_nice)
    if only != "load":
        report["viewers"] = viewers(clip, chosen, crowd_s)
    write_atomic(out, json.dumps(report, indent=1) + "\n")
    click.echo(f"wrote {out}", err=True)


if __name__ == "__main__":
    main()
