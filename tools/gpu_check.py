#!/usr/bin/env python3
"""Build every model for a backend in every precision, hold each against its reference, and time them all in turns.

    python tools/gpu_check.py --out benchmarks/results/gpu_check.json
    python tools/gpu_check.py --backend openvino --n 20 --out /tmp/rehearsal.json

What fails is a row with its error; the others go on. Ends with 1 if one failed.
"""

from __future__ import annotations

import json
import math
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np

from drivenet.benchmark import CONTRACT, bench, environment
from drivenet.doctor import examine
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.engine.spec_json import read_spec_json
from drivenet.errors import DrivenetError
from drivenet.export.build import BUILDERS, Built, build
from drivenet.export.parity import synthetic_pictures
from drivenet.export.request import BuildRequest
from drivenet.metrics import agreement
from drivenet.modelspec import spec_path, write_atomic
from drivenet.prepare import prepare
from drivenet.resources import engines_dir
from drivenet.synthetic import SyntheticDrive

FLOATS = {"tensorrt": ("fp32", "fp16"), "openvino": ("fp32", "bf16")}
Row = dict[str, object]


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option("--backend", type=click.Choice(sorted(BUILDERS)), default="tensorrt", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the artefacts here.")
@click.option("--golden", type=click.Path(path_type=Path), default=Path("tests/golden/default.npz"), show_default=True)
@click.option("--n", default=2000, show_default=True, help="Inferences of each that count.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks/results/gpu_check.json"))
def main(models: tuple[Path, ...], backend: str, folder: Path | None, golden: Path, n: int, out: Path) -> None:
    """Check MODELS (ONNX files; all that ship without any) and write one JSON."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as opened:
        rows: list[Row] = []
        engines: list[Engine] = []
        for onnx in models or sorted(engines_dir().glob("*.onnx")):
            reference = open_engine(onnx, "onnxruntime")
            opened.callback(reference.close)
            engines.append(reference)
            rows.append({"model": onnx.name, "backend": "onnxruntime", "precision": reference.precision})
            for precision in _precisions(onnx, backend):
                row, engine = _checked(onnx, backend, precision, folder or Path(scratch), golden)
                click.echo(json.dumps(row), err=True)
                if engine is None:
                    rows.append(row)
                    continue
                opened.callback(engine.close)
                rows.append(row)
                engines.append(engine)
        _time([row for row in rows if "error" not in row], engines, n)
    report = {
        "contract": CONTRACT,
        "environment": environment(),
        "doctor": [r.to_dict() for r in examine()],
        "rows": rows,
    }
    write_atomic(out, json.dumps(report, indent=1) + "\n")
    click.echo(f"wrote {out}", err=True)
    raise SystemExit(any("error" in row for row in rows))


def _precisions(onnx: Path, backend: str) -> tuple[str, ...]:
    return ("int8",) if read_spec_json(spec_path(onnx)).precision == "int8" else FLOATS[backend]


def _checked(onnx: Path, backend: str, precision: str, folder: Path, golden: Path) -> tuple[Row, Engine | None]:
    """One artefact: built, past its gate, opened as a run opens it, and held against the golden ids."""
    row: Row = {"model": onnx.name, "backend": backend, "precision": precision}
    try:
        built = build(BuildRequest(onnx, backend, precision, out=folder, timing_cache=folder / "kernels.timing"))
        engine = open_engine(built.file)
    except DrivenetError as error:
        return {**row, "error": str(error)}, None
    return {**row, **_told(built), **engine.describe(), **_golden(onnx, engine, golden)}, engine


def _told(built: Built) -> Row:
    passport = built.passport
    parity = passport.parity.model_dump() if passport.parity else None
    return {
        "build_seconds": round(built.seconds, 1),
        "machine": passport.machine,
        **passport.recorded,
        "parity": parity,
    }


def _golden(onnx: Path, engine: Engine, golden: Path) -> Row:
    """Agreement with the golden ids, where they are those of this model."""
    if not golden.is_file():
        return {"golden": f"there is no {golden}"}
    stored = np.load(golden)
    width, height, fps, seed = stored["clip"].tolist()
    if stored["ids"].shape[1:] != engine.spec.output:
        return {"golden": f"{golden} is of another model"}
    drive = SyntheticDrive(int(width), int(height), fps, int(seed))
    pictures = [prepare(drive.render(i)[0], engine.spec.input) for i in range(len(stored["ids"]))]
    return {
        "golden": agreement(stored["ids"].reshape(-1, 1), np.stack([engine.infer(p) for p in pictures]).reshape(-1, 1))
    }


def _time(rows: list[Row], engines: list[Engine], n: int) -> None:
    """Add latency to the rows, all engines in turns."""
    pictures = synthetic_pictures((540, 960))
    for row, timed in zip(rows, bench(engines, pictures, math.ceil(n / len(pictures))), strict=True):
        row.update({key: timed[key] for key in ("n", "warmup", "latency_ms", "fps")})


if __name__ == "__main__":
    main()
