"""A source of one's own that is not what the pipeline asks for: the run says so and ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pipeline_parts import Drive, Engine, Keeper

from drivenet.errors import SourceError, UsageError
from drivenet.frame import Frame
from drivenet.pipeline import POLICIES, Pipeline
from drivenet.sources.base import SourceStatus

pytestmark = pytest.mark.usefixtures("nothing_left_running")
GREY = np.full((48, 64, 3), 128, np.uint8)


@pytest.mark.parametrize("fps", [None, -1.0, float("nan"), "30"])
def test_a_rate_that_is_none(fps: Any) -> None:
    source = Drive(1)
    source.fps = fps
    with pytest.raises(UsageError, match=f"Drive with fps {fps}; expected frames a second; 0 where it states none"):
        Pipeline(source, Engine(), [])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("asked", [0, 1])
def test_a_source_that_cannot_say_how_it_fares_ends_the_run(asked: int, policy: str) -> None:
    class Unsure(Drive):
        def status(self) -> SourceStatus:
            nonlocal asked
            asked -= 1
            if asked < 0:
                raise ValueError("no idea")
            return super().status()

    source, engine, sink = Unsure(3, "silence", live=True), Engine(), Keeper()
    with pytest.raises(SourceError, match="drive: status: ValueError: no idea"):
        Pipeline(source, engine, [sink], policy=policy).run()
    assert (source.times_closed, engine.times_closed, len(sink.totals)) == (1, 1, 1)
    assert sink.totals[0].health["state"] == "failed"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (GREY, r"drive gave ndarray; expected a drivenet\.Frame; Frame\("),
        (
            Frame(GREY, 7, time.time_ns()),
            r"drive: frame 7 was captured at \d+; expected nanoseconds up to now, \d+; take time\.monotonic_ns\(\)",
        ),
        (Frame(GREY, 7, time.monotonic()), r"captured at \d+\.\d+; expected nanoseconds"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_frame_of_now_ends_the_run(given: Any, told: str) -> None:
    class Other(Drive):
        def __iter__(self) -> Iterator[Frame]:
            yield from Drive(2)
            yield given

    sink = Keeper()
    with pytest.raises(SourceError, match=told):
        Pipeline(Other(3), Engine(), [sink]).run()
    assert sink.indices == [0, 1]
