"""The synthetic drive as a source."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest

from drivenet import Pipeline, open_engine
from drivenet.errors import UsageError
from drivenet.latency import now_ns
from drivenet.sources.options import Options
from drivenet.sources.synthetic import Synthetic, open_synthetic
from drivenet.synthetic import SyntheticDrive


def test_frames_are_those_of_the_drive() -> None:
    source = open_synthetic("synthetic://64x48@30?seed=7&frames=3", Options(seed=1, paced=False))
    assert (source.fps, source.frames, source.size, source.live) == (30, 3, (48, 64), False)
    drive = SyntheticDrive(64, 48, 30, 7)
    frames = list(source)
    assert [f.index for f in frames] == [0, 1, 2]
    for frame in frames:
        assert np.array_equal(frame.image, drive.render(frame.index)[0])


def test_the_seed_of_the_options() -> None:
    frame = next(iter(open_synthetic("synthetic://64x48@30", Options(seed=7))))
    assert np.array_equal(frame.image, SyntheticDrive(64, 48, 30, 7).render(0)[0])


def test_a_paced_drive_is_live_and_never_faster_than_its_rate() -> None:
    source = open_synthetic("synthetic://64x48@200?frames=5", Options())
    assert source.live
    times = []
    for frame in source:
        assert frame.captured_ns <= now_ns()
        times.append(frame.captured_ns)
    # the first may come late, and each may be woken a little late; none comes before it is due
    assert all(times[i] - times[0] >= (i - 1) * 5_000_000 for i in range(5))
    assert all(b > a for a, b in pairwise(times))


def test_without_a_rate_nobody_waits_and_nothing_is_dropped() -> None:
    source = open_synthetic("synthetic://64x48?frames=40", Options())
    assert (source.live, source.fps, source.frames) == (False, 30, 40)
    totals = Pipeline(source, open_engine(backend="null"), []).run()
    assert (totals.captured, totals.published, totals.dropped) == (40, 40, {})


def test_closing_ends_an_endless_drive_in_mid_wait() -> None:
    source = Synthetic(SyntheticDrive(64, 48, 0.001))
    frames = iter(source)
    next(frames)
    reader = threading.Thread(target=lambda: list(frames))
    reader.start()
    source.close()
    reader.join(60)
    assert not reader.is_alive()


@pytest.mark.parametrize(
    "uri",
    [
        "synthetic://",
        "synthetic://64x48@",
        "synthetic://1280@30",
        "synthetic://8x8@30",
        "synthetic://64x48@0",
        "synthetic://64x48@30?seed=x",
        "synthetic://64x48@30?frames=0",
        "synthetic://64x48@30?speed=2",
    ],
)
def test_what_cannot_be_drawn(uri: str) -> None:
    with pytest.raises(UsageError):
        open_synthetic(uri, Options())
