"""``drivenet bench``: engines back to back, in turns."""

from __future__ import annotations

import math
from contextlib import ExitStack

import click

from drivenet.benchmark import CONTRACT, environment
from drivenet.benchmark import bench as measure
from drivenet.cli.output import check_json, console, progress, table, write_json
from drivenet.engine import BACKENDS, open_engine
from drivenet.engine.base import Engine
from drivenet.frame import Image
from drivenet.synthetic import SyntheticDrive

_PICTURES, _WIDTH, _HEIGHT = 10, 960, 540


@click.command()
@click.argument("engines", nargs=-1)
@click.option("--backend", "backends", multiple=True, type=click.Choice(sorted(BACKENDS)), help="May be repeated.")
@click.option("--threads", type=click.IntRange(min=1))
@click.option("--n", type=click.IntRange(min=1), default=200, show_default=True, help="Inferences of each that count.")
@click.option("--json", "json_file", metavar="FILE", help="Write the rows as JSON; - is standard output.")
def bench(engines: tuple[str, ...], backends: tuple[str, ...], threads: int | None, n: int,
          json_file: str | None) -> None:  # fmt: skip
    """Time ENGINES (files or names; the default model without any) in closed loop: throughput, not a live stream.

    Open loop, with due times and drops: drivenet run FILE --policy latest --rate HZ.

    \b
    drivenet bench
    drivenet bench fast accurate --backend onnxruntime --backend openvino --json bench.json
    """
    check_json(json_file)
    with ExitStack() as opened:
        loaded = _open(engines, backends or ("auto",), threads, opened)
        rounds = math.ceil(n / _PICTURES)
        with progress() as bar:
            task = bar.add_task("rounds", total=rounds, note="")
            rows = measure(loaded, _pictures(), rounds, progress=lambda done, _: bar.update(task, completed=done))
    machine = environment()
    if json_file != "-":
        _show(rows, machine)
    write_json(json_file, {"contract": CONTRACT, "environment": machine, "rows": rows})


def _open(engines: tuple[str, ...], backends: tuple[str, ...], threads: int | None, opened: ExitStack) -> list[Engine]:
    loaded = []
    for engine in engines or (None,):
        for backend in backends:
            loaded.append(open_engine(engine, backend, threads=threads))
            opened.callback(loaded[-1].close)
    return loaded


def _pictures() -> list[Image]:
    drive = SyntheticDrive(_WIDTH, _HEIGHT)
    return [drive.render(60 * i)[0] for i in range(_PICTURES)]


def _show(rows: list[dict[str, object]], machine: dict[str, object]) -> None:
    body = []
    for row in rows:
        e, t = row["engine"], row["latency_ms"]
        if isinstance(e, dict) and isinstance(t, dict):
            name = f"{e['file']} {e['backend']} {e['precision']} {e['input'][1]}x{e['input'][0]}"
            body.append([name, *(f"{t[k]:.2f}" for k in ("min", "p50", "iqr", "p90", "max")), str(row["n"])])
    table("inference in ms, closed loop", ["engine", "min", "p50", "IQR", "p90", "max", "n"], body)
    console.print(f"from {CONTRACT['start']} to {CONTRACT['end']}; {machine['cpu']}, {machine['physical_cores']} cores")
