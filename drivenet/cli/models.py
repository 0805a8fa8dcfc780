"""``drivenet models``: what ships, and what of it is worth what."""

from __future__ import annotations

import click

from drivenet.cli.output import check_json, table, write_json
from drivenet.engine.catalog import list_models
from drivenet.resources import engines_dir


@click.command()
@click.option("--json", "json_file", metavar="FILE", help="Write the list as JSON; - is standard output.")
def models(json_file: str | None) -> None:
    """List the models at hand: size, work, data, val mIoU and licence of the data.

    \b
    drivenet models
    drivenet models --json -
    """
    check_json(json_file)
    rows = list_models(engines_dir())
    if json_file != "-":
        columns = ["name", "default", "precision", "input", "labels", "params", "GMAC", "val mIoU", "trained on"]
        table("models", columns, [
            [str(r["name"]), "*" if r["default"] else "", str(r["precision"]), _size(r["input"]), str(r["labels"]),
             f"{_number(r['params']) / 1e6:.2f} M", f"{_number(r['gmac']):.2f}",
             "-" if r["val_miou"] is None else f"{_number(r['val_miou']):.3f}", str(r["trained_on"])]
            for r in rows
        ])  # fmt: skip
    write_json(json_file, {"models": rows})


def _size(value: object) -> str:
    height, width = value if isinstance(value, (list, tuple)) else (0, 0)
    return f"{width}x{height}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
