"""Closed-loop benchmark: engines run back to back, in turns, so that a busy minute hits all of them alike."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from drivenet.engine.base import Engine
from drivenet.errors import UsageError
from drivenet.frame import Image
from drivenet.host.cpu import cpu_model, physical_cores
from drivenet.latency import P99_MIN_SAMPLES, now_ns
from drivenet.prepare import prepare_for

#: What every row's numbers mean.
CONTRACT = {
    "mode": "closed loop",
    "unit": "ms",
    "start": "prepared uint8 BGR picture in host memory",
    "end": "uint8 class ids in host memory",
    "clock": "time.monotonic_ns",
    "order": "engines take turns, one pass over the pictures each, a turn further in every round",
}
#: What ``throughput`` of a row means.
THROUGHPUT = {
    "mode": "closed loop, several pictures in work at a time",
    "unit": "pictures per second, as infer_many gives them; no latency follows from it",
    "contexts": "how many pictures are in work at a time",
    "order": "engines take turns, each ending with nothing in work",
}
#: How many turns each engine has for its throughput: few, since every turn fills and empties the lanes.
_TURNS = 4
_PACKAGES = ("drivenet", "numpy", "onnxruntime", "openvino", "tensorrt", "opencv-python")


@dataclass
class _Turns:
    """One engine, its prepared pictures and what was measured on it."""

    engine: Engine
    images: list[Image]
    infer_ns: list[int] = field(default_factory=list)
    pass_ns: list[int] = field(default_factory=list)

    def run(self, keep: bool) -> None:
        """One pass over the pictures; ``keep=False`` warms up."""
        stamps = [now_ns()]
        for image in self.images:
            self.engine.infer(image)
            stamps.append(now_ns())
        if keep:
            self.infer_ns += np.diff(stamps).tolist()
            self.pass_ns.append(stamps[-1] - stamps[0])


def bench(
    engines: Sequence[Engine],
    images: Sequence[Image],
    rounds: int,
    warmup: int = 2,
    progress: Callable[[int, int], None] | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> list[dict[str, object]]:
    """Measure inference of several engines on the same pictures.

    Args:
        engines: at least one; each is timed on the pictures resized to its own input beforehand.
        images: at least one, (H, W, 3) uint8 BGR of any size.
        rounds: passes over all pictures that count.
        warmup: passes before that do not count.
        progress: called with (done, rounds) after every round.
        enough: asked after every round; true ends the measurement with the rounds that there are.

    Returns:
        One row an engine, in their order: ``engine`` (:meth:`Engine.describe`), ``n``, ``warmup`` (inferences),
        ``latency_ms`` (``min, p25, p50, p75, iqr, p90, max``, and ``p99`` from 2000 samples on) and ``fps``
        (inferences over the time of all passes). :data:`CONTRACT` says what was timed.

    Raises:
        UsageError: if there is nothing to measure.
        EngineError: for a failed inference.
    """
    if not engines or not images or rounds < 1 or warmup < 0:
        told = f"{len(engines)} engines, {len(images)} pictures, {rounds} rounds, {warmup} warm-up rounds"
        raise UsageError(told, "at least one each, warm-up 0 or more")
    turns = [_Turns(e, [prepare_for(image, e.spec) for image in images]) for e in engines]
    for _ in range(warmup):
        for turn in turns:
            turn.run(keep=False)
    for done in range(rounds):
        first = done % len(turns)
        for turn in turns[first:] + turns[:first]:
            turn.run(keep=True)
        if progress is not None:
            progress(done + 1, rounds)
        if enough():
            break
    return [_row(turn, warmup * len(images)) for turn in turns]


def throughput(engines: Sequence[Engine], images: Sequence[Image], rounds: int) -> list[dict[str, object]]:
    """Measure how many pictures a second come through :meth:`Engine.infer_many`.

    Args:
        engines: each is timed on the pictures resized to its own input beforehand.
        images: at least one, (H, W, 3) uint8 BGR of any size.
        rounds: passes over all pictures that count, rounded up to a multiple of the turns; one before warms up.

    Returns:
        One row an engine, in their order: ``fps``, ``n`` and ``contexts``. :data:`THROUGHPUT` says what was timed.

    Raises:
        UsageError: if there is nothing to measure.
        EngineError: for a failed inference.
    """
    if not images or rounds < 1:
        raise UsageError(f"{len(images)} pictures, {rounds} rounds", "at least one each")
    prepared = [[prepare_for(image, e.spec) for image in images] for e in engines]
    passes, spent = -(-rounds // _TURNS), [0] * len(engines)
    for turn in range(_TURNS + 1):
        for i, engine in enumerate(engines):
            started = now_ns()
            for _ in engine.infer_many(prepared[i] * (passes if turn else 1)):
                pass
            spent[i] += now_ns() - started if turn else 0
    n = passes * _TURNS * len(images)
    rows = zip(engines, spent, strict=True)
    return [{"fps": round(n / (ns / 1e9), 3), "n": n, "contexts": engine.contexts} for engine, ns in rows]


def environment() -> dict[str, object]:
    """The machine and versions that the numbers belong to."""
    return {
        "cpu": cpu_model(),
        "physical_cores": physical_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def summarise(samples_ms: npt.NDArray[np.float64]) -> dict[str, float]:
    """Exact percentiles of a bounded number of samples, in their unit; p99 only from 2000 samples on."""
    p25, p50, p75, p90, p99 = np.percentile(samples_ms, [25, 50, 75, 90, 99]).tolist()
    row = {"min": samples_ms.min(), "p25": p25, "p50": p50, "p75": p75, "iqr": p75 - p25, "p90": p90}
    if samples_ms.size >= P99_MIN_SAMPLES:
        row["p99"] = p99
    row["max"] = samples_ms.max()
    return {name: round(float(value), 4) for name, value in row.items()}


def _row(turn: _Turns, warmup: int) -> dict[str, object]:
    return {
        "engine": turn.engine.describe(),
        "n": len(turn.infer_ns),
        "warmup": warmup,
        "latency_ms": summarise(np.array(turn.infer_ns) / 1e6),
        "fps": round(len(turn.infer_ns) / (sum(turn.pass_ns) / 1e9), 3),
    }


def _version(package: str) -> str:
    """The installed version, empty if there is none (opencv has several names)."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
