"""Stages are data: any list of them runs, is shown by name, and may replace the picture before any output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drivenet import Pipeline
from drivenet.engine.null import NullEngine
from drivenet.errors import EngineError, UsageError
from drivenet.frame import Frame
from drivenet.latency import Timeline, now_ns
from drivenet.record import Record
from drivenet.result import Result, Totals
from drivenet.sinks.base import Sink
from drivenet.sinks.jsonl import JsonlSink
from drivenet.sources.base import Source
from drivenet.stages import Stage, default_stages, run_stages, stage_names

SECOND = 1_000_000_000


class Frames(Source):
    """Gives frames of stated sizes at stated moments of their own time."""

    name = "frames"

    def __init__(self, *frames: tuple[tuple[int, int], int]) -> None:
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        for index, (size, at_ns) in enumerate(self._frames):
            yield Frame(np.full((*size, 3), 200, np.uint8), index, now_ns(), at_ns)


class Keeper(Sink):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.totals = Totals()

    def publish(self, result: Result) -> None:
        self.results.append(result)

    def close(self, totals: Totals) -> None:
        self.totals = totals


class Counter(Stage):
    """Counts frames since it last forgot them."""

    name = "count"

    def __init__(self) -> None:
        self.count = self.closed = 0

    def __call__(self, record: Record) -> Record:
        self.count += 1
        return record.with_layers(count=Count(self.count))

    def reset(self) -> None:
        self.count = 0

    def close(self) -> None:
        self.closed += 1


class Count:
    """A layer that is written to the stats file."""

    def __init__(self, n: int) -> None:
        self.n = n

    def to_dict(self) -> dict[str, int]:
        return {"n": self.n}


class Black(Stage):
    """Hides the whole picture."""

    name = "black"

    def __call__(self, record: Record) -> Record:
        return record.with_image(np.zeros_like(record.frame.image))


def run(source: Source, *stages: Stage, on_ids: tuple[Stage, ...] = (), stats: Path | None = None) -> Keeper:
    engine, keeper = NullEngine(), Keeper()
    sinks: list[Sink] = [keeper, *([JsonlSink(stats)] if stats else [])]
    road = default_stages(engine, on_ids=on_ids, on_scene=stages)
    Pipeline(source, engine, sinks, stages=road, policy="every").run()
    return keeper


def steady(count: int, size: tuple[int, int] = (48, 64)) -> Frames:
    return Frames(*((size, n * SECOND // 10) for n in range(count)))


def test_a_stage_is_shown_by_its_name_wherever_stages_are(tmp_path: Path) -> None:
    keeper = run(steady(3), Counter(), stats=tmp_path / "s.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    order = ["queue", "prepare", "infer", "postprocess", "count", "draw", "publish"]
    assert [list(line["stages_ms"]) for line in lines[:3]] == [order] * 3
    assert [line["count"] for line in lines[:3]] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert list(lines[-1]["latency_ms"]) == ["end_to_end", *order]
    assert list(keeper.totals.live["p50_ms"]) == ["end_to_end", *order]
    assert keeper.totals.latency.by_stage["count"].n == 3


def test_a_stage_may_replace_the_picture_before_any_sink_and_the_captured_one_stays() -> None:
    keeper = run(steady(2), Black())
    assert all(not result.frame.image.any() for result in keeper.results)
    assert all(result.view is not None and np.median(result.view) < 128 for result in keeper.results)


def test_a_stage_that_changes_ids_changes_the_scene() -> None:
    class Road(Stage):
        name = "road"

        def __call__(self, record: Record) -> Record:
            ids = np.full_like(record.classmap.ids, record.labels.id_of("Road"))
            return record.with_layers(classmap=type(record.classmap)(ids, record.frame.index, record.frame.captured_ns))

    keeper = run(steady(1), on_ids=(Road(),))
    assert keeper.results[0].scene.classes == {"Road": 1.0}


def test_stages_forget_where_frames_do_not_continue_those_before() -> None:
    small, large = (48, 64), (96, 128)
    times = [(small, 0), (small, SECOND // 10), (large, SECOND // 5), (large, SECOND), (large, 9 * SECOND), (large, 0)]
    counter = Counter()
    counts = [result.layers["count"].n for result in run(Frames(*times), counter).results]
    assert counts == [1, 2, 1, 2, 1, 1]
    assert counter.closed == 1


def test_what_a_stage_is_given_cannot_be_written_to() -> None:
    class Painter(Stage):
        name = "painter"

        def __call__(self, record: Record) -> Record:
            record.frame.image[:] = 0
            return record

    with pytest.raises(EngineError, match="read-only"):
        run(steady(1), Painter())


def test_names_are_told_apart_and_sizes_kept() -> None:
    with pytest.raises(UsageError, match="two stages named count"):
        default_stages(NullEngine(), on_scene=[Counter(), Counter()])
    record = Record(Frame(np.zeros((4, 6, 3), np.uint8), 0, 0), NullEngine().spec.label_set, Timeline(0))
    with pytest.raises(UsageError, match="the same size"):
        record.with_image(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(UsageError, match="no layer scene"):
        _ = record.scene


def test_confidence_is_inferred_only_where_a_stage_needs_it() -> None:
    asked: list[str] = []

    class Both(NullEngine):
        def infer_confident(self, image):  # type: ignore[no-untyped-def]
            asked.append("confident")
            ids = self.infer(image)
            return ids, np.full_like(ids, 200)

    class Sure(Counter):
        needs = frozenset({"confidence"})

    engine = Both()
    record = Record(Frame(np.zeros((48, 64, 3), np.uint8), 0, 0), engine.spec.label_set, Timeline(0))
    assert run_stages(record, default_stages(engine)).confidence is None
    assert asked == []
    done = run_stages(record, default_stages(engine, on_scene=[Sure()]))
    assert done.confidence is not None
    assert int(done.confidence.min()) == 200
    assert "input" not in done.layers
    assert stage_names(default_stages(engine)) == ("queue", "prepare", "infer", "postprocess", "draw", "publish")
