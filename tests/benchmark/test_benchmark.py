"""The closed-loop benchmark: its rows, its contract, and who was run how often in which order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx_models import palette_model

from drivenet.benchmark import CONTRACT, bench, environment, summarise, throughput
from drivenet.classmap import Ids
from drivenet.engine import open_engine
from drivenet.engine.null import NullEngine
from drivenet.errors import UsageError
from drivenet.frame import Image

IMAGES = [np.full((60, 80, 3), i, np.uint8) for i in range(3)]


class Counting(NullEngine):
    """A null engine that tells a shared list whenever it is run."""

    def __init__(self, name: str, calls: list[str]) -> None:
        super().__init__()
        self.label, self.calls = name, calls

    def infer(self, image: Image) -> Ids:
        self.calls.append(self.label)
        return super().infer(image)


def test_measures_every_engine_on_every_picture(tmp_path: Path) -> None:
    engines = [open_engine(palette_model(tmp_path), "onnxruntime"), open_engine(None, "null")]
    done: list[tuple[int, int]] = []
    rows = bench(engines, IMAGES, rounds=4, warmup=1, progress=lambda i, n: done.append((i, n)))
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [row["engine"] for row in rows] == [e.describe() for e in engines]
    for row in rows:
        assert (row["n"], row["warmup"]) == (12, 3)
        ms = row["latency_ms"]
        assert list(ms) == ["min", "p25", "p50", "p75", "iqr", "p90", "max"]  # type: ignore[call-overload]
        assert ms["min"] <= ms["p25"] <= ms["p50"] <= ms["p75"] <= ms["p90"] <= ms["max"]  # type: ignore[index]
        assert row["fps"] > 0  # type: ignore[operator]
    json.dumps(rows, allow_nan=False)


def test_engines_take_turns_a_pass_each() -> None:
    calls: list[str] = []
    bench([Counting("a", calls), Counting("b", calls)], IMAGES[:2], rounds=3, warmup=1)
    assert "".join(calls) == "aabb" + "aabb" + "bbaa" + "aabb"


def test_percentiles_are_exact_and_p99_needs_2000_samples() -> None:
    few = summarise(np.arange(1, 102, dtype=float))
    assert few == {"min": 1, "p25": 26, "p50": 51, "p75": 76, "iqr": 50, "p90": 91, "max": 101}
    assert "p99" not in summarise(np.ones(1999))
    assert summarise(np.ones(2000))["p99"] == 1


@pytest.mark.parametrize(("rounds", "warmup", "images"), [(0, 1, IMAGES), (1, -1, IMAGES), (1, 1, [])])
def test_nothing_to_measure_is_an_error(rounds: int, warmup: int, images: list[Image]) -> None:
    with pytest.raises(UsageError, match="expected at least one each"):
        bench([open_engine(None, "null")], images, rounds, warmup)


def test_no_engine_is_an_error() -> None:
    with pytest.raises(UsageError, match="0 engines"):
        bench([], IMAGES, 1)


def test_numbers_name_their_machine_and_meaning() -> None:
    around = environment()
    assert around["cpu"]
    assert around["packages"]["numpy"] == np.__version__  # type: ignore[index]
    assert {"mode", "unit", "start", "end", "clock"} <= CONTRACT.keys()
    json.dumps(around)


class Pair(NullEngine):
    """Says that it has two pictures in work, and tells how many each call was given."""

    contexts = 2

    def __init__(self, given: list[int]) -> None:
        super().__init__()
        self.given = given

    def infer_many(self, images: Iterable[Image]) -> Iterator[Ids]:
        found = [self.infer(image) for image in images]
        self.given.append(len(found))
        return iter(found)


def test_throughput_goes_through_infer_many_in_few_long_turns() -> None:
    given: list[int] = []
    rows = throughput([Pair(given), open_engine(None, "null")], IMAGES, rounds=8)
    assert given == [3, 6, 6, 6, 6]
    assert [(row["n"], row["contexts"]) for row in rows] == [(24, 2), (24, 1)]
    assert all(row["fps"] > 0 for row in rows)  # type: ignore[operator]
    with pytest.raises(UsageError, match="0 pictures"):
        throughput([], [], 1)


def test_enough_ends_a_measurement_after_a_round() -> None:
    (row,) = bench([open_engine(None, "null")], IMAGES, rounds=100, warmup=0, enough=lambda: True)
    assert row["n"] == 3
