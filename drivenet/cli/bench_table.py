"""The rows of a benchmark as a Markdown table that says what its numbers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivenet.engine.base import Engine

_HEAD = "| model | input | backend | precision | p50 ms | p90 ms | as fast as ONNX Runtime fp32 |\n|" + " --- |" * 7


def named(engines: Sequence[Engine], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of :func:`~drivenet.benchmark.bench` with what they are called, and how they compare.

    Returns:
        Each row with ``model``; and ``speedup``, the p50 of ONNX Runtime in fp32 on the network that was trained the
        same, by the row's own, or None where that was not timed.
    """
    exact = {
        (e.spec.source_sha256 or e.spec.name, e.spec.input): row["latency_ms"]["p50"]
        for e, row in zip(engines, rows, strict=True)
        if (e.backend, e.precision) == ("onnxruntime", "fp32")
    }
    found = []
    for engine, row in zip(engines, rows, strict=True):
        reference = exact.get((engine.spec.source_sha256 or engine.spec.name, engine.spec.input))
        speedup = None if reference is None else round(reference / row["latency_ms"]["p50"], 3)
        found.append({"model": engine.spec.name, "speedup": speedup, **row})
    return found


def markdown(report: Mapping[str, Any]) -> str:
    """The table of a report, what was timed and on what, and what could not be timed."""
    failed = [f"- {what}: {why}" for what, why in report["failed"].items()]
    told = [_HEAD, *map(_line, report["rows"]), "", _contract(report)]
    return "\n".join([*told, *(["", "Not timed:", *failed] if failed else []), ""])


def _line(row: Mapping[str, Any]) -> str:
    engine, ms = row["engine"], row["latency_ms"]
    height, width = engine["input"]
    rest = f", rest {engine['floats']}" if "floats" in engine else ""
    speedup = "-" if row["speedup"] is None else f"{row['speedup']:.2f} x"
    cells = [row["model"], f"{width}x{height}", engine["backend"], engine["precision"] + rest]
    cells += [f"{ms['p50']:.1f}", f"{ms['p90']:.1f}", speedup]
    return f"| {' | '.join(cells)} |"


def _contract(report: Mapping[str, Any]) -> str:
    contract, machine, rows = report["contract"], report["environment"], report["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    threads = " or ".join(sorted({str(row["engine"].get("threads", "?")) for row in rows}))
    counts = f"n = {rows[0]['n']} each after {rows[0]['warmup']} of warm-up, batch 1" if rows else "nothing was timed"
    return (
        f"One run in {contract['mode']}, {contract['order']}; {counts}, from {contract['start']} to {contract['end']}, "
        f"clock {contract['clock']}. {machine['cpu']}, {machine['physical_cores']} cores, {threads} threads, "
        f"{machine['system']}, Python {machine['python']}; {versions}."
    )
