"""``drivenet models``: what ships, and what of it is worth what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drivenet.artefacts.catalog import list_models
from drivenet.cli.output import check_file, note, table, write_json


@click.command()
@click.option("--json", "json_file", metavar="FILE", help="Write the list as JSON; - is standard output.")
def models(json_file: str | None) -> None:
    """List the models: input size, GMACs, data, val mIoU, licence of the data, and what was built from them.

    \b
    drivenet models
    drivenet models --json -
    """
    check_file(json_file)
    rows = list_models()
    if json_file != "-":
        _show_models(rows)
        _show_built([built for row in rows for built in row["built"]])
    write_json(json_file, {"models": rows})


def _show_models(rows: list[dict[str, Any]]) -> None:
    columns = ["name", "default", "precision", "input", "labels", "params", "GMAC", "val mIoU"]
    table("models", columns, [
        [r["name"], "*" if r["default"] else "", r["precision"], _size(r["input"]), r["labels"],
         f"{r['params'] / 1e6:.2f} M", f"{r['gmac']:.2f}", "-" if r["val_miou"] is None else f"{r['val_miou']:.3f}"]
        for r in rows
    ])  # fmt: skip
    for (data, licence), names in _by_data(rows).items():
        note(f"{', '.join(names)}: trained on {data or '-'}; licence of the data: {licence or '-'}")


def _by_data(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """The names of the models that were trained on the same data."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        found.setdefault((row["trained_on"], row["data_licence"]), []).append(row["name"])
    return found


def _show_built(rows: list[dict[str, Any]]) -> None:
    """The artefacts that were compiled on this machine or for another; nothing if there are none."""
    if not rows:
        return
    table("built", ["file", "backend", "precision", "as fp32", "worst class", "IoU", "runs here"], [
        [Path(r["file"]).name, r["backend"], r["precision"], *_parity(r["parity"]), "yes" if r["admitted"] else "no"]
        for r in rows
    ])  # fmt: skip
    for row in rows:
        if not row["admitted"]:
            note(f"no: {row['why_not']}")


def _parity(parity: dict[str, Any] | None) -> tuple[str, str, str]:
    if parity is None:
        return "-", "-", "-"
    accepted = " (accepted)" if parity["accepted"] else ""
    return f"{parity['agreement']:.2%}{accepted}", parity["worst_class"], f"{parity['worst_iou']:.3f}"


def _size(value: list[int]) -> str:
    height, width = value
    return f"{width}x{height}"
