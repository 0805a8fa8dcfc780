"""``drivenet bench``: engines back to back, in turns."""

from __future__ import annotations

import math
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from drivenet.artefacts.catalog import files_read, find, models_in
from drivenet.artefacts.store import search_path
from drivenet.benchmark import CONTRACT, THROUGHPUT, environment, throughput
from drivenet.benchmark import bench as measure
from drivenet.cli.bench_all import backends as all_backends
from drivenet.cli.bench_all import candidates, open_all
from drivenet.cli.bench_table import markdown, named
from drivenet.cli.bench_video import VIDEO_OPTIONS, bench_video, video_options
from drivenet.cli.given import refuse
from drivenet.cli.output import check_file, progress, table, write_json, write_text
from drivenet.cli.output import report as shown
from drivenet.engine import BACKENDS, open_engine
from drivenet.engine.base import Engine
from drivenet.errors import UsageError
from drivenet.frame import Image
from drivenet.sinks.target import identity
from drivenet.synthetic import SyntheticDrive

_PICTURES, _WIDTH, _HEIGHT = 10, 960, 540
#: The options that --dataset leaves no use for, by the names of their parameters.
_OF_IMAGES = ("everything", "n", "many", "table_file")


@click.command()
@click.argument("engines", nargs=-1)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice(sorted(BACKENDS)),
    help="Backend to time; may be repeated.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Every precision of the models on ONNX Runtime and OpenVINO; of all that ship, without ENGINES.",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of each engine [default: physical cores].")
@click.option("--n", type=click.IntRange(min=1), default=200, show_default=True,
              help=f"Inferences of each that count, rounded up to rounds of {_PICTURES}.")  # fmt: skip
@click.option("--throughput", "many", is_flag=True, help="Also images per second with several in flight.")
@click.option("--json", "json_file", metavar="FILE", help="Write the rows as JSON; - is standard output.")
@click.option("--table", "table_file", metavar="FILE.md",
              help="Write the rows as a Markdown table; - is standard output.")  # fmt: skip
@video_options
def bench(engines: tuple[str, ...], backends: tuple[str, ...], everything: bool, threads: int | None, n: int,
          many: bool, json_file: str | None, table_file: str | None, **video: Any) -> None:  # fmt: skip
    """Time ENGINES (files or names; without any, the default model) back to back, not as a live stream.

    With --dataset, on the sequences of a video set, with scores: the engines alone, or the whole node in closed loop or
    in open loop, where frames are due at a rate and late ones are dropped.

    \b
    drivenet bench
    drivenet bench fast --backend onnxruntime --backend openvino --json bench.json
    drivenet bench --all --json cpu.json --table cpu.md
    drivenet bench fast accurate --dataset synthetic-video --report out
    drivenet bench --dataset cityscapes-video --root DIR --mode open --rate 17
    """
    if video["dataset"] is not None:
        refuse(_OF_IMAGES, f"--dataset {video['dataset']}", "--json and --report")
        return bench_video(engines, backends or ("auto",), threads, json_file, **video)
    refuse(VIDEO_OPTIONS, "no --dataset", "the video set that they are for")
    if json_file and table_file and identity(json_file) == identity(table_file) is not None:
        raise UsageError(f"--json {json_file} and --table {table_file}", "one of them there")
    shipped = list(models_in().values()) if everything else (None,)
    read = [file for engine in engines or shipped for file in files_read(engine)]
    check_file(json_file, *read)
    check_file(table_file, *read)
    with ExitStack() as opened:
        if everything:
            loaded, failed = _open_all(engines, backends, threads, opened)
        else:
            loaded, failed = _open(engines, backends or ("auto",), threads, opened), {}
        rounds, pictures = math.ceil(n / _PICTURES), _pictures()
        with progress() as bar:
            task = bar.add_task("rounds", total=rounds, note="")
            timed = measure(loaded, pictures, rounds, progress=lambda done, _: bar.update(task, completed=done))
        if many:
            for row, figures in zip(timed, throughput(loaded, pictures, rounds), strict=True):
                row["throughput"] = figures
        rows = named(loaded, timed)
    contract = {**CONTRACT, "throughput": THROUGHPUT} if many else CONTRACT
    report = {"contract": contract, "environment": environment(), "rows": rows, "failed": failed}
    if "-" not in (json_file, table_file):
        _show(report)
    write_json(json_file, report)
    if table_file is not None:
        write_text(table_file, markdown(report))


def _open(engines: tuple[str, ...], backends: tuple[str, ...], threads: int | None, opened: ExitStack) -> list[Engine]:
    loaded = []
    for engine in engines or (None,):
        for backend in backends:
            loaded.append(open_engine(engine, backend, threads=threads))
            opened.callback(loaded[-1].close)
    return loaded


def _open_all(
    engines: tuple[str, ...], backends: tuple[str, ...], threads: int | None, opened: ExitStack
) -> tuple[list[Engine], dict[str, str]]:
    unknown = [backend for backend in backends if backend not in all_backends()]
    if unknown:
        raise UsageError(f"--all with {unknown[0]}", " or ".join(all_backends()))
    models = [find(name) for name in engines] or list(models_in().values())
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
    loaded, failed = open_all(candidates(models, backends or all_backends()), folder, threads)
    for engine in loaded:
        opened.callback(engine.close)
    return loaded, failed


def _pictures() -> list[Image]:
    drive = SyntheticDrive(_WIDTH, _HEIGHT)
    return [drive.render(60 * i)[0] for i in range(_PICTURES)]


def _show(report: dict[str, Any]) -> None:
    body = []
    for row in report["rows"]:
        e, t = row["engine"], row["latency_ms"]
        rest = f", rest {e['floats']}" if "floats" in e else ""
        name = f"{_short(e['file'])} {e['backend']} {e['precision']}{rest} {e['input'][1]}x{e['input'][0]}"
        body.append([name, *(f"{t[k]:.2f}" for k in ("min", "p50", "iqr", "p90", "max")), str(row["n"])])
    table("inference in ms, closed loop", ["engine", "min", "p50", "IQR", "p90", "max", "n"], body)
    machine = report["environment"]
    shown.print(f"from {CONTRACT['start']} to {CONTRACT['end']}; {machine['cpu']}, {machine['physical_cores']} cores")
    for line, row in zip(body, report["rows"], strict=True):
        if "throughput" in row:
            t = row["throughput"]
            shown.print(f"throughput, {t['contexts']} in flight: {t['fps']:.1f} images/s, {line[0]}")
    for what, why in report["failed"].items():
        shown.print(f"not timed: {what}: {why}")


def _short(file: str) -> str:
    """A model that ships by its file's name, any other as it was named."""
    return Path(file).name if Path(file).parent in search_path() else file
