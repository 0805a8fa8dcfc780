"""The tables of a benchmark on a video set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivenet.benchmark.video_report import set_title
from drivenet.cli.output import report as shown
from drivenet.cli.output import table

#: Of the figures of a part, those that every table shows first.
_LATENCY = ("p50", "p90", "max")


def show(found: Mapping[str, Any]) -> None:
    """Scores and latencies over all, by group, and where there are few by sequence."""
    rows = found["rows"]
    names = [_name(row) for row in rows]
    what = found["set"]
    _scores(f"{set_title(what)}, {what['labelled']} of {what['frames']} frames labelled, in %",
            names, [row["overall"] for row in rows])  # fmt: skip
    for group in rows[0]["groups"] if len(rows[0]["groups"]) > 1 else ():
        _scores(f"{group}, in %", names, [row["groups"][group] for row in rows])
    _latencies(found)
    for row, name in zip(rows, names, strict=True):
        shown.print(_counts(name, row, found["contract"]["rate_hz"]))
    for one in found.get("against", {}).get("rows", ()):
        p50 = one["p50"]
        low, high = p50["interval"]
        line = f"{one['engine']}: p50 {p50['ratio']:.3f} of before ({low:.3f} to {high:.3f}), {p50['verdict']}"
        line += "" if one["miou"] is None else f"; mIoU {100 * one['miou']:+.3f}"
        shown.print(line + ("" if one["same_machine"] else "; another machine"))


def _scores(title: str, names: list[str], parts: list[Mapping[str, Any]]) -> None:
    scores = [part["scores"] for part in parts]
    keys = [k for k, v in scores[0].items() if not isinstance(v, (dict, str, int)) or isinstance(v, bool)]
    body = [[key, *(_percent(one.get(key)) for one in scores)] for key in keys
            if any(one.get(key) is not None for one in scores)]  # fmt: skip
    classes = list(dict.fromkeys(name for one in scores for name in one.get("iou", {})))
    body += [[name, *(_percent(one.get("iou", {}).get(name)) for one in scores)] for name in classes
             if any(one.get("iou", {}).get(name) is not None for one in scores)]  # fmt: skip
    table(title, ["", *names], body)


def _latencies(found: Mapping[str, Any]) -> None:
    contract = found["contract"]
    body = []
    for row in found["rows"]:
        for stage, ms in row["overall"]["latency_ms"].items():
            if ms:
                low, high = ms["p50_interval"]
                body.append([f"{_name(row)} {stage}", *(f"{ms[k]:.2f}" for k in _LATENCY), f"{low:.2f} to {high:.2f}",
                             f"{ms['p99']:.2f}" if "p99" in ms else "-", str(ms["n"])])  # fmt: skip
    rate = f" at {contract['rate_hz']:g} Hz" if contract["rate_hz"] else ""
    table(f"latency in ms, {contract['mode']}{rate}: from {contract['start']} to {contract['end']}",
          ["", *_LATENCY, "p50, 95 %", "p99", "n"], body)  # fmt: skip


def _counts(name: str, row: Mapping[str, Any], rate: float | None) -> str:
    part, usage = row["overall"], row["usage"]
    drops = ", ".join(f"{n} {reason}" for reason, n in part["dropped"].items()) or "none"
    line = f"{name}: captured {part['captured']}, published {part['published']}, dropped: {drops}"
    if rate is not None:
        line += f", {part['deadline_misses']} later than {1e3 / rate:.1f} ms"
    line += f"; {part['fps']:.1f} FPS" if part["fps"] else ""
    line += f"; CPU {usage['cpu_percent']:.0f} %" if usage["cpu_percent"] is not None else ""
    line += f", {usage['rss_mb']:.0f} MB" if usage["rss_mb"] is not None else ""
    if "floor" in row and row["floor"]["multiple"]:
        line += f"; inference {row['floor']['multiple']:.1f} times its floor of {row['floor']['floor_ms']:.2f} ms"
    if "sustained" in row:
        ratio = row["sustained"]["ratio"]
        line += f"; last over first minute {ratio['ratio']:.3f}, {ratio['verdict']}"
    return line


def _name(row: Mapping[str, Any]) -> str:
    engine = row["engine"]
    return f"{Path(engine['file']).name or 'null'} {engine['backend']} {engine['precision']}"


def _percent(value: Any) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
