#!/usr/bin/env python3
"""Build every model for a backend in every precision, hold each against its reference, and time them all in turns.

    python tools/gpu_check.py --minutes 10 --out benchmarks/results/gpu_check.json
    python tools/gpu_check.py --backend openvino --n 20 --out /tmp/rehearsal.json

What fails is a row with its error; the others go on. The JSON is written after every row, so that what ends this early
costs no more than the row at hand; SIGTERM or Ctrl-C ends the timing at the next round. Ends with 1 if one failed.
"""

from __future__ import annotations

import json
import math
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from drivenet.artefacts.spec_json import read_spec_json
from drivenet.benchmark import CONTRACT, THROUGHPUT, bench, environment, throughput
from drivenet.build.build import Built, build
from drivenet.build.request import BuildRequest
from drivenet.classmap import ThingMaps
from drivenet.data.pictures import synthetic_pictures
from drivenet.doctor import examine
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.engine.things import infer_instances
from drivenet.errors import EngineError
from drivenet.files import write_atomic
from drivenet.metrics import agreement
from drivenet.modelspec import spec_path
from drivenet.prepare import prepare
from drivenet.resources import engines_dir
from drivenet.scene import parted
from drivenet.synthetic import SyntheticDrive
from drivenet.things import InstanceMap
from drivenet.things.agreement import ThingAgreement

#: What is built of a float model, what matters most first.
FLOATS = {"tensorrt": ("fp16", "fp32"), "openvino": ("bf16", "fp32")}
#: Share of the minutes that no build may begin in: it is for the timing.
TIMING_SHARE = 0.25
Row = dict[str, object]


@dataclass
class Report:
    """The rows so far and the file that holds them."""

    out: Path
    head: Row
    rows: list[Row] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, row: Row) -> Row:
        """Another row, told and written."""
        self.rows.append(row)
        click.echo(json.dumps(row), err=True)
        self.write()
        return row

    def write(self) -> None:
        """Everything that there is."""
        report = {**self.head, "rows": self.rows, "errors": self.errors}
        write_atomic(self.out, json.dumps(report, indent=1) + "\n")


class Clock:
    """When to begin nothing more, and when to stop."""

    def __init__(self, minutes: float | None) -> None:
        self.started, self.seconds, self.stopped = time.monotonic(), 60 * minutes if minutes else math.inf, False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: object) -> None:
        self.stopped = True
        signal.signal(number, signal.SIG_DFL)  # the second one is meant

    def over(self, share: float = 1) -> bool:
        """Whether this share of the time has gone."""
        return self.stopped or time.monotonic() - self.started > share * self.seconds


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@click.option("--backend", type=click.Choice(sorted(FLOATS)), default="tensorrt", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the artefacts here.")
@click.option("--golden", type=click.Path(path_type=Path), default=Path("tests/golden/default.npz"), show_default=True)
@click.option("--argmax", type=click.Choice(["auto", "topk", "select"]), default="auto", show_default=True,
              help="tensorrt: auto builds both ways and times them, which takes twice as long.")  # fmt: skip
@click.option("--n", default=2000, show_default=True, help="Inferences of each that count, time permitting.")
@click.option("--minutes", type=float, help="End within about so long; a build that has begun is not broken off.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks/results/gpu_check.json"))
def main(models: tuple[Path, ...], backend: str, folder: Path | None, golden: Path, argmax: str, n: int,
         minutes: float | None, out: Path) -> None:  # fmt: skip
    """Check MODELS (ONNX files; all that ship without any) and write one JSON."""
    clock = Clock(minutes)
    contract = {**CONTRACT, "throughput": THROUGHPUT}
    doctor = [r.to_dict() for r in examine()]
    report = Report(out, {"contract": contract, "environment": environment(), "doctor": doctor})
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as opened:
        keep = folder or Path(scratch)
        timed: list[tuple[Row, Engine]] = []
        for onnx in models or sorted(engines_dir().glob("*.onnx"), key=_size):
            for request in _requests(onnx, backend, keep, argmax):
                row: Row = {"model": onnx.name, "backend": request.backend, "precision": request.precision}
                if clock.over(1 - TIMING_SHARE):
                    report.add({**row, "error": "not tried: out of time"})
                    continue
                click.echo(f"{onnx.name} for {request.backend} in {request.precision}", err=True)
                engine = _tried(row, lambda row=row, request=request: _checked(row, request, golden))  # type: ignore[misc]
                report.add(row)
                if engine is not None:
                    opened.callback(_closed, engine)
                    timed.append((row, engine))
        _time(report, timed, n, clock)
        report.write()
    click.echo(f"wrote {out}", err=True)
    raise SystemExit(bool(report.errors) or any("error" in row for row in report.rows))


def _closed(engine: Engine) -> None:
    """After an error of the device, which its row tells, closing fails as well."""
    with suppress(EngineError):
        engine.close()


def _size(onnx: Path) -> tuple[int, str]:
    return math.prod(read_spec_json(spec_path(onnx)).input), onnx.stem


def _requests(onnx: Path, backend: str, folder: Path, argmax: str) -> list[BuildRequest]:
    """The ONNX as it is, as the measure of all, and what is to be built of it."""
    precision = read_spec_json(spec_path(onnx)).precision
    wanted = ("int8",) if precision == "int8" else FLOATS[backend]
    own = {"timing_cache": folder / "kernels.timing", "argmax": argmax} if backend == "tensorrt" else {}
    built = [BuildRequest(onnx, backend, p, out=folder, options=own) for p in wanted]
    return [BuildRequest(onnx, "onnxruntime", precision), *built]


def _tried(row: Row, step: Callable[[], Engine]) -> Engine | None:
    """What a step gives; its error goes into the row, whatever the bindings may raise."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001
        row["error"] = f"{type(error).__name__}: {error}"
        return None


def _checked(row: Row, request: BuildRequest, golden: Path) -> Engine:
    """One artefact: built, past its gate, opened as a run opens it, and held against the golden ids."""
    if request.backend == "onnxruntime":
        engine = open_engine(request.onnx, "onnxruntime")
    else:
        built = build(request, _tell_step)
        row.update(_told(built))
        engine = open_engine(built.file)
    row.update(engine.describe())
    row["golden"] = _golden(engine, golden)
    return engine


def _tell_step(text: str) -> None:
    if not text.startswith("compared"):
        click.echo(f"  {text}", err=True)


def _told(built: Built) -> Row:
    passport = built.passport
    parity = passport.parity.model_dump() if passport.parity else None
    seconds = round(built.seconds, 1)
    return {"build_seconds": seconds, "machine": passport.machine, **passport.recorded, "parity": parity}


def _golden(engine: Engine, golden: Path) -> object:
    """Agreement with the golden ids, where they are of a model of this size, and whose they are."""
    if not golden.is_file():
        return f"there is no {golden}"
    stored = np.load(golden)
    width, height, fps, seed = stored["clip"].tolist()
    if stored["ids"].shape[1:] != engine.spec.output:
        return f"{golden} is of another model"
    drive = SyntheticDrive(int(width), int(height), fps, int(seed))
    pictures = [prepare(drive.render(i)[0], engine.spec.input) for i in range(len(stored["ids"]))]
    seen = [infer_instances(engine, p, engine.spec.input) for p in pictures]
    one_by_one = np.stack([ids for ids, _ in seen])
    many = np.stack(list(engine.infer_many(pictures)))
    return {
        "agreement": agreement(stored["ids"].reshape(-1, 1), one_by_one.reshape(-1, 1)),
        "things": _golden_things(engine, stored, [instances for _, instances in seen]),
        "infer_many_is_the_same": bool(np.array_equal(one_by_one, many)),
        "engine_sha256": str(stored["engine"]),
    }


def _golden_things(engine: Engine, stored: Mapping[str, Any], found: list[InstanceMap | None]) -> float | None:
    """Share of the golden things that the engine parts alike; None where either has no centres."""
    spec = engine.spec
    if spec.things is None or "centres" not in stored:
        return None
    same = ThingAgreement()
    for ids, centres, offsets, ours in zip(stored["ids"], stored["centres"], stored["offsets"], found, strict=True):
        if ours is not None:
            same.add(parted(ids, ThingMaps(centres, offsets), spec.things, spec.label_set).instances, ours)
    return same.share


def _time(report: Report, timed: list[tuple[Row, Engine]], n: int, clock: Clock) -> None:
    """Add latency and throughput to the rows, all engines in turns; what fails is told beside the rows."""
    if not timed:
        return
    engines = [engine for _, engine in timed]
    pictures = synthetic_pictures((540, 960))
    rounds = math.ceil(n / len(pictures))
    click.echo(f"timing {len(engines)} engines", err=True)
    try:
        for (row, _), found in zip(timed, bench(engines, pictures, rounds, 2, _tell, clock.over), strict=True):
            row.update({key: found[key] for key in ("n", "warmup", "latency_ms", "fps")})
        report.write()
        passes = 4 if clock.over() else min(rounds, 25)
        for (row, _), figures in zip(timed, throughput(engines, pictures, passes), strict=True):
            row["throughput"] = figures
    except Exception as error:  # noqa: BLE001
        report.errors.append(f"timing: {type(error).__name__}: {error}")


def _tell(done: int, rounds: int) -> None:
    if done == rounds or done % max(1, rounds // 10) == 0:
        click.echo(f"  timed {done} of {rounds} rounds", err=True)


if __name__ == "__main__":
    main()
