"""``drivenet build --all``: everything that can serve a model is built and timed, and the answer kept."""

from __future__ import annotations

from pathlib import Path

from drivenet.artefacts.compiled import backend_of
from drivenet.artefacts.timings import Timings, read_timings, write_timings
from drivenet.build.missing import build_missing, end_idle_builder, sole_builder
from drivenet.cli.output import console, table
from drivenet.engine.candidates import candidates
from drivenet.engine.fastest import measure_and_open
from drivenet.errors import EngineError, UsageError

#: Seconds of timing; nobody waits for a frame here.
_BUDGET_S = 8.0


def build_all(onnx: Path, show: bool = True) -> dict[str, object]:
    """Build what is missing of a model, also what failed before, and time all that can serve it.

    Args:
        onnx: the model.
        show: whether the figures go to standard output as a table.

    Returns:
        What ``--json`` writes: the model, each engine with its milliseconds, why others could not be built, and what
        ``drivenet run`` takes from now on.

    Raises:
        UsageError: for a compiled artefact, or while another process builds from the same model.
        EngineError: if nothing can run it.
    """
    if backend_of(onnx) is not None:
        raise UsageError(f"--all with {onnx}", "an ONNX, or a name that drivenet models lists")
    end_idle_builder(onnx)  # this is to be done now
    with sole_builder(onnx) as alone:
        if not alone:
            raise UsageError(f"{onnx} is being built by another process", "one build at a time", "try again later")
        write_timings(onnx, read_timings(onnx, None).model_copy(update={"refused": {}}))
        build_missing(onnx, None, console.print)
        console.print("timing in interleaved turns")
        opened = measure_and_open(onnx, candidates(onnx), read_timings(onnx, None), None, _BUDGET_S)
    if opened is None:
        raise EngineError(f"nothing here can run {onnx}", cure="drivenet doctor says what is missing")
    engine, why = opened
    engine.close()
    known = read_timings(onnx, None)
    if show:
        _show(known)
    console.print(f"drivenet run takes {engine.backend} {engine.precision}: {why}")
    chosen = {"backend": engine.backend, "precision": engine.precision, "file": engine.file}
    return {"model": str(onnx), "chosen": chosen, **known.model_dump(mode="json", include={"rows", "refused"})}


def _show(known: Timings) -> None:
    rows = sorted(known.rows, key=lambda row: row.ms)
    body = [[Path(row.file).name, row.backend, row.precision, f"{row.ms:.2f}"] for row in rows]
    table("lower quartile of an inference in ms", ["file", "backend", "precision", "ms"], body)
    for what, why in known.refused.items():
        console.print(f"not usable: {what}: {why}")
