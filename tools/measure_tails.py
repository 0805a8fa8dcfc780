#!/usr/bin/env python3
"""Measure the three tails of the deployed graph in ms and in mIoU, in one interleaved run.

python tools/measure_tails.py runs/NAME/best.pt --root CamVid > docs/tails.json
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from drivenet.benchmark import CONTRACT, bench, environment
from drivenet.data import open_dataset
from drivenet.engine import open_engine
from drivenet.evaluation import evaluate
from drivenet.export.onnx import export_checkpoint
from drivenet.modelspec import TAILS


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--root", type=click.Path(path_type=Path), required=True, help="CamVid's folder.")
@click.option("--rounds", default=30, show_default=True)
def main(checkpoint: Path, root: Path, rounds: int) -> None:
    """Print one JSON with a row for each tail."""
    val, drawn = open_dataset("camvid", root, "val"), open_dataset("synthetic", None, "val")
    with tempfile.TemporaryDirectory() as folder:
        files = {tail: Path(folder) / f"{tail}.onnx" for tail in TAILS}
        for tail, file in files.items():
            export_checkpoint(checkpoint, file, tail=tail)
        engines = [open_engine(file) for file in files.values()]
        timed = bench(engines, [val[i].image for i in range(0, len(val), 10)], rounds)
        rows = {
            tail: {
                "latency_ms": row["latency_ms"],
                "camvid_val_miou": round(evaluate(engine, val).miou, 4),
                "synthetic_val_miou": round(evaluate(engine, drawn).miou, 4),
            }
            for tail, engine, row in zip(files, engines, timed, strict=True)
        }
        for engine in engines:
            engine.close()
    click.echo(json.dumps({"contract": CONTRACT, "environment": environment(), "tails": rows}, indent=1))


if __name__ == "__main__":
    main()
