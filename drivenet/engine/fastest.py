"""``auto`` by measurement: the fastest engine of a model that passed its parity check on this machine."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np

from drivenet.artefacts.timings import Timing, Timings, read_timings, write_timings
from drivenet.engine import open_engine, open_like
from drivenet.engine.base import Engine
from drivenet.engine.candidates import Candidate, candidates
from drivenet.errors import DrivenetError

#: Seconds that timing may take at the start of a run, and the fewest and most turns of each engine.
BUDGET_S, _MIN_TURNS, _MAX_TURNS = 2.0, 3, 60
#: How much faster than the exact engine one of lower precision must be to be preferred.
_GAIN = 1.05


def measure(engines: list[Engine], budget_s: float = BUDGET_S) -> list[float]:
    """Milliseconds of an inference of each engine, the lower quartile of interleaved turns.

    Turns, so that what else the machine does meets all alike; the lower quartile, since it only adds time.

    Args:
        engines: warm ones of one input size.
        budget_s: no turn begins after so many seconds, but for the first three.
    """
    shape = (*engines[0].spec.input, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    times: list[list[float]] = [[] for _ in engines]
    ends = time.monotonic() + budget_s
    for turn in range(_MAX_TURNS):
        if turn >= _MIN_TURNS and time.monotonic() > ends:
            break
        for engine, taken in zip(engines, times, strict=True):
            started = time.monotonic_ns()
            engine.infer_things(image) if engine.spec.things else engine.infer(image)
            taken.append((time.monotonic_ns() - started) / 1e6)
    return [float(np.quantile(taken, 0.25)) for taken in times]


def fastest(rows: tuple[Timing, ...], exact: str) -> Timing:
    """The row to serve: the fastest, the exact one where it is about as fast.

    Args:
        rows: at least one.
        exact: the precision of the model itself.
    """
    best = min(rows, key=lambda row: row.ms)
    same = min((row for row in rows if row.precision == exact), key=lambda row: row.ms, default=best)
    return same if same.ms < best.ms * _GAIN else best


def why(rows: tuple[Timing, ...], chosen: Timing, parity: str) -> str:
    """One clause for people: the figures, and how the chosen one keeps to the reference."""
    others = ", ".join(str(row) for row in sorted(rows, key=lambda row: row.ms) if row != chosen)
    kept = f"; {parity} of pixels as the reference" if parity else ""
    return f"the fastest measured here: {chosen.ms:.1f} ms" + (f"; {others}" if others else "") + kept


def open_measured(
    onnx: Path, found: list[Candidate], threads: int | None, may_measure: bool, lanes: int = 1
) -> tuple[Engine, str] | None:
    """The fastest of some candidates, opened, and why it is that one; None where there is no choice to make.

    What was measured before is used as long as the candidates are the same.

    Args:
        onnx: the model that was asked for.
        found: from :func:`~drivenet.engine.candidates.candidates`.
        threads: of the processor; None = one a physical core.
        may_measure: whether they are timed now where that was not done before.
        lanes: how many of the chosen one share the threads; each is timed with all of them.
    """
    known = read_timings(onnx, threads)
    usable = [candidate for candidate in found if _name(candidate) not in known.refused]
    answer = _answer(usable, known)
    if answer is not None:
        candidate, told = answer
        with contextlib.suppress(DrivenetError):  # not for this machine any more: measure what is left
            return _open(candidate, threads, lanes), told
    if not may_measure or len(usable) < 2:
        return None
    measured = measure_and_open(onnx, usable, known, threads)
    if measured is None or lanes == 1 or not measured[0].on_cpu:
        return measured
    engine, told = measured
    engine.close()
    return open_like(engine, threads, lanes), told


def known_answer(onnx: Path) -> tuple[Candidate, str] | None:
    """What a run takes of a model with nothing else said, and why; None where that was not measured yet."""
    known = read_timings(onnx, None)
    return _answer([c for c in candidates(onnx) if _name(c) not in known.refused], known)


def known_ms(onnx: Path, backend: str, precision: str, threads: int | None) -> float | None:
    """Milliseconds of an inference of what a run takes of a model, on all threads; None where that was not measured."""
    some = candidates(onnx, backend, precision)
    if not some:  # as of a file that is no model
        return None
    known = read_timings(onnx, threads)
    chosen = _chosen([candidate for candidate in some if _name(candidate) not in known.refused], known)
    return None if chosen is None else chosen[1].ms


def _answer(usable: list[Candidate], known: Timings) -> tuple[Candidate, str] | None:
    """The fastest of several candidates by figures that are there for all of them, and why it is that one."""
    chosen = _chosen(usable, known) if len({candidate.key for candidate in usable}) > 1 else None
    if chosen is None:
        return None
    candidate, row, rows = chosen
    return candidate, why(rows, row, candidate.parity)


def _chosen(usable: list[Candidate], known: Timings) -> tuple[Candidate, Timing, tuple[Timing, ...]] | None:
    """The fastest of some candidates, its figures and those of all; None where one of them has none."""
    by_key = {candidate.key: candidate for candidate in usable}
    rows = tuple(row for row in known.rows if _key(row) in by_key)
    if not rows or len(rows) != len(by_key):
        return None
    row = fastest(rows, usable[0].precision)
    return by_key[_key(row)], row, rows


def measure_and_open(
    onnx: Path, found: list[Candidate], known: Timings, threads: int | None, budget_s: float = BUDGET_S
) -> tuple[Engine, str] | None:
    """Time some candidates, keep the answer, and return the fastest; None if none can be opened."""
    opened: list[tuple[Candidate, Engine]] = []
    try:
        for candidate in found:
            try:
                opened.append((candidate, _open(candidate, threads)))
            except DrivenetError as error:  # built for another machine, or does not run
                known.refused[_name(candidate)] = str(error)
        if not opened:
            return None
        times = measure([engine for _, engine in opened], budget_s)
        rows = tuple(_row(c, ms) for (c, _), ms in zip(opened, times, strict=True))
        kept = tuple(row for row in known.rows if _key(row) not in {_key(new) for new in rows})
        write_timings(onnx, known.model_copy(update={"rows": (*rows, *(row for row in kept if _there(row)))}))
        chosen = fastest(rows, found[0].precision)
        index = rows.index(chosen)
        candidate, engine = opened.pop(index)
        return engine, why(rows, chosen, candidate.parity)
    finally:
        for _, other in opened:
            other.close()


def _open(candidate: Candidate, threads: int | None, lanes: int = 1) -> Engine:
    return open_engine(candidate.file, candidate.backend, threads=threads, lanes=lanes)


def _row(candidate: Candidate, ms: float) -> Timing:
    file, backend, precision, seal = candidate.key
    return Timing(file=file, backend=backend, precision=precision, seal=seal, ms=round(ms, 3))


def _key(row: Timing) -> tuple[str, str, str, str]:
    return row.file, row.backend, row.precision, row.seal


def _name(candidate: Candidate) -> str:
    """How a candidate is named where it is noted that it cannot be opened; another build has another seal."""
    return f"{candidate.file} {candidate.seal}"


def _there(row: Timing) -> bool:
    return Path(row.file).exists()
