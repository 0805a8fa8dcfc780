"""``drivenet bench``: engines back to back, in turns."""

from __future__ import annotations

import math

import click

from drivenet.benchmark import CONTRACT, environment
from drivenet.benchmark import bench as measure
from drivenet.cli.output import console, progress, table, write_json
from drivenet.engine import BACKENDS, open_engine
from drivenet.engine.catalog import find
from drivenet.resources import engines_dir
from drivenet.synthetic import SyntheticDrive

_PICTURES, _WIDTH, _HEIGHT = 10, 960, 540


@click.command()
@click.argument("engines", nargs=-1)
@click.option("--backend", "backends", multiple=True, type=click.Choice(sorted(BACKENDS)), help="May be repeated.")
@click.option("--threads", type=int)
@click.option("--n", type=int, default=200, show_default=True, help="Inferences of each that count.")
@click.option("--json", "json_file", metavar="FILE", help="Write the rows as JSON; - is standard output.")
def bench(engines: tuple[str, ...], backends: tuple[str, ...], threads: int | None, n: int,
          json_file: str | None) -> None:  # fmt: skip
    """Time ENGINES (files or names; the default model without any) in closed loop: throughput, not a live stream.

    Open loop, with due times and drops: drivenet run FILE --policy latest --rate HZ.
    """
    files = [find(e, engines_dir()) for e in engines or (None,)]
    loaded = [open_engine(f, b, threads=threads) for f in files for b in backends or ("auto",)]
    drive = SyntheticDrive(_WIDTH, _HEIGHT)
    pictures = [drive.render(60 * i)[0] for i in range(_PICTURES)]
    rounds = max(1, math.ceil(n / _PICTURES))
    with progress() as bar:
        task = bar.add_task("rounds", total=rounds, note="")
        rows = measure(loaded, pictures, rounds, progress=lambda done, _: bar.update(task, completed=done))
    for engine in loaded:
        engine.close()
    machine = environment()
    if json_file != "-":
        _show(rows, machine)
    write_json(json_file, {"contract": CONTRACT, "environment": machine, "rows": rows})


def _show(rows: list[dict[str, object]], machine: dict[str, object]) -> None:
    body = []
    for row in rows:
        e, t = row["engine"], row["latency_ms"]
        if isinstance(e, dict) and isinstance(t, dict):
            name = f"{e['file']} {e['backend']} {e['precision']} {e['input'][1]}x{e['input'][0]}"
            body.append([name, *(f"{t[k]:.2f}" for k in ("min", "p50", "iqr", "p90", "max")), str(row["n"])])
    table("inference in ms, closed loop", ["engine", "min", "p50", "IQR", "p90", "max", "n"], body)
    console.print(f"from {CONTRACT['start']} to {CONTRACT['end']}; {machine['cpu']}, {machine['physical_cores']} cores")
