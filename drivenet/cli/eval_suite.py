"""What ``drivenet eval --suite`` does: one table over several data sets, a column an engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drivenet.artefacts.catalog import files_read, list_models
from drivenet.cli.output import check_file, progress, report, table, write_json
from drivenet.config import yaml_file
from drivenet.engine.base import Engine
from drivenet.engine.laned import open_for_many
from drivenet.evaluation import Report
from drivenet.evaluation.parted import headline
from drivenet.evaluation.suite import Part, load_suite


def score_suite(engines: Sequence[str], file: Path, json_file: str | None, **how: Any) -> None:
    """Score each engine, or all that ship, on every data set of a suite; show the table, write the JSON.

    Raises:
        UsageError, ConfigError: for a suite that is not right.
        SourceError, EngineError: for data sets or engines that cannot be opened.
    """
    names = list(engines) or [model["name"] for model in list_models()]
    check_file(json_file, yaml_file(file), *(f for name in names for f in files_read(name, how["backend"])))
    parts = load_suite(file)
    check_file(json_file, *(f for part in parts for f in part.samples.files))
    scores = {name: _scores(name, parts, **how) for name in names}
    if json_file != "-":
        _show(parts, scores)
    rows = [
        {"model": name, "set": part.name, **one.to_dict()}
        for name, reports in scores.items()
        for part, one in zip(parts, reports, strict=True)
    ]
    write_json(json_file, {"suite": str(file), "scores": rows})


def _scores(name: str, parts: Sequence[Part], **how: Any) -> list[Report]:
    engine = open_for_many(name, **how)
    try:
        return [_score(name, engine, part) for part in parts]
    finally:
        engine.close()


def _score(name: str, engine: Engine, part: Part) -> Report:
    with progress() as bar:
        task = bar.add_task(f"{name} on {part.name}", total=len(part.samples), note="")
        return part.score(engine, lambda done, _: bar.update(task, completed=done))


def _show(parts: Sequence[Part], scores: dict[str, list[Report]]) -> None:
    for i, part in enumerate(parts):
        reports = [reports[i] for reports in scores.values()]
        figures = list(map(_figures, reports))
        names = list(dict.fromkeys(name for figure in figures for name in figure))
        rows = [[name, *(percent(figure.get(name, math.nan)) for figure in figures)] for name in names]
        size = reports[0].compared_at
        at = f"{size[1]}x{size[0]}" if size else "the labels' own sizes"
        table(f"{part.name}: {reports[0].images} pictures at {at}, in %", ["IoU", *scores], rows)
    if any(one.compared_on == "groups" for reports in scores.values() for one in reports):
        report.print("an engine without an mIoU has other classes, which no mapping leads to: compared on groups")


def _figures(one: Report) -> dict[str, float]:
    """By the name of its row; a class or group that the data set does not have is not there."""
    groups = {f"group {name}": value for name, value in one.matrix.group_iou().items()}
    found = {"mIoU": one.miou, "mIoU of groups": one.group_miou, **groups, "boundary F": one.boundary.mean()}
    if one.compared_on == "classes":
        found.update(one.matrix.iou())
    if one.panoptic is not None:
        found.update(headline(one.panoptic))
    return {name: value for name, value in found.items() if not math.isnan(value)}


def percent(value: float) -> str:
    """A share as per cent with two digits; ``-`` where there is none."""
    return "-" if math.isnan(value) else f"{100 * value:.2f}"
