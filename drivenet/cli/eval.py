"""``drivenet eval``: score the deployed artefact through the path that a run takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drivenet.cli.engines import engine_file
from drivenet.cli.output import check_json, console, progress, table, write_json
from drivenet.data import DATASETS, SPLITS, open_dataset
from drivenet.engine import BACKENDS, PRECISIONS, open_engine
from drivenet.evaluation import Report
from drivenet.evaluation import evaluate as score


@click.command("eval")
@click.argument("engine", required=False)
@click.option("--dataset", type=click.Choice(sorted(DATASETS)), default="synthetic", show_default=True)
@click.option("--root", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the data set.")
@click.option("--split", type=click.Choice(SPLITS), default="val", show_default=True)
@click.option("--backend", type=click.Choice(["auto", *sorted(BACKENDS)]), default="auto")
@click.option("--precision", type=click.Choice(PRECISIONS), default="auto")
@click.option("--threads", type=click.IntRange(min=1))
@click.option("--json", "json_file", metavar="FILE", help="Write the scores as JSON; - is standard output.")
def evaluate(engine: str | None, dataset: str, root: Path | None, split: str, json_file: str | None,
             **how: Any) -> None:  # fmt: skip
    """Score ENGINE (a file or a name; the default model without it) on labelled pictures.

    Resize to the engine's input, infer, resize the ids (nearest) to the label's size; one confusion matrix
    over all pixels, ignored ones left out.

    \b
    drivenet eval --dataset synthetic
    drivenet eval fast --dataset camvid --root CamVid --split test --json scores.json
    """
    check_json(json_file)
    samples = open_dataset(dataset, root, split)
    loaded = open_engine(engine_file(engine, how["backend"]), **how)
    try:
        with progress() as bar:
            task = bar.add_task("pictures", total=len(samples), note="")
            report = score(loaded, samples, lambda done, _: bar.update(task, completed=done))
    finally:
        loaded.close()
    if json_file != "-":
        _show(report)
    write_json(json_file, report.to_dict())


def _show(report: Report) -> None:
    iou = report.matrix.iou() if report.compared_on == "classes" else {}
    rows = [[name, _percent(v)] for name, v in iou.items()]
    rows += [[f"group {name}", _percent(v)] for name, v in report.matrix.group_iou().items()]
    data = report.dataset
    table(f"IoU on {data['name']} {data['split']}, {report.images} pictures", ["class", "IoU %"], rows)
    console.print(f"mIoU {_percent(report.miou)} %, pixel accuracy {_percent(report.pixel_accuracy)} %")


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.2f}"
