"""What a node tells its parent through the pipe."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from drivenet import Pipeline, open_engine, open_source
from drivenet.cli.heartbeat import heart_of
from drivenet.supervise.beat import DESCRIPTOR, Beat, parse

PATIENCE_S = 60.0


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> Iterator[Iterator[Beat]]:
    """What the parent hears."""
    reader, writer = os.pipe()
    monkeypatch.setenv(DESCRIPTOR, str(writer))
    with os.fdopen(reader, "rb") as heard:
        yield (beat for line in heard if (beat := parse(line)))
    os.close(writer)


def until(beats: Iterator[Beat], true: Callable[[Beat], bool]) -> Beat:
    end = time.monotonic() + PATIENCE_S
    for beat in beats:
        if true(beat):
            return beat
        assert time.monotonic() < end, beat
    raise AssertionError("the heart has stopped")


def test_a_loop_that_comes_round_is_young_and_one_that_stands_still_ages(beats: Iterator[Beat]) -> None:
    run = Pipeline(open_source("synthetic://96x64@30?frames=1"), open_engine(backend="null"), [])

    def goes_round(beat: Beat) -> bool:
        run.monitor.check()
        return beat.loop_s < 0.5

    with heart_of([run]):
        assert until(beats, lambda beat: beat.loop_s > 1.0).phase == "running"
        until(beats, goes_round)
    run.run()
