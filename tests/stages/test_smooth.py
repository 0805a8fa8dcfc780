"""Smoothing takes out what lasts a frame, follows what moves, and yields to what stays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drivenet.classmap import ClassMap, Ids
from drivenet.frame import Frame, Image
from drivenet.labels import CAMVID
from drivenet.latency import Timeline
from drivenet.record import Record
from drivenet.stages.smooth import Smooth

SIZE = (72, 128)
ROAD, CAR = CAMVID.id_of("Road"), CAMVID.id_of("Car")


def texture(shift: int = 0) -> Image:
    """A picture with enough in it to see its motion, moved to the right."""
    grey = np.random.default_rng(3).integers(40, 220, (SIZE[0] // 4, SIZE[1] // 4), np.uint8)
    wide = np.roll(np.kron(grey, np.ones((4, 4), np.uint8)), shift, axis=1)
    return np.ascontiguousarray(np.repeat(wide[..., None], 3, axis=2))


def seen(smooth: Smooth, ids: Ids, image: Image, index: int = 0) -> Ids:
    record = Record(Frame(image, index, index), CAMVID, Timeline(index), {"classmap": ClassMap(ids, index, index)})
    return smooth(record).classmap.ids


def road() -> Ids:
    return np.full(SIZE, ROAD, np.uint8)


def test_what_lasts_one_frame_is_taken_out_and_what_stays_comes_through() -> None:
    smooth, spot = Smooth(), road()
    spot[20:40, 30:60] = CAR
    for _ in range(4):
        assert (seen(smooth, road(), texture()) == ROAD).all()
    assert (seen(smooth, spot, texture()) == ROAD).all(), "one frame is no evidence"
    assert (seen(smooth, road(), texture()) == ROAD).all()
    for _ in range(4):
        last = seen(smooth, spot, texture())
    assert np.array_equal(last, spot), "what stays is taken over within a few frames"


def test_votes_move_with_the_picture() -> None:
    """A car that moves four pixels a frame and is missed once stays where it is by then."""
    smooth, last = Smooth(), road()
    for n in range(6):
        ids = road()
        left = 30 + 4 * n
        if n < 5:
            ids[20:44, left : left + 32] = CAR
        last = seen(smooth, ids, texture(4 * n), n)
    assert (last[24:40, 54:78] == CAR).mean() > 0.9
    assert (last[24:40, :46] == ROAD).mean() > 0.95


def test_after_a_cut_nothing_of_the_scene_before_is_left() -> None:
    smooth = Smooth()
    for _ in range(4):
        seen(smooth, np.full(SIZE, CAR, np.uint8), np.zeros((*SIZE, 3), np.uint8))
    assert (seen(smooth, road(), np.full((*SIZE, 3), 200, np.uint8)) == ROAD).all()
    smooth.reset()
    assert (seen(smooth, np.full(SIZE, CAR, np.uint8), np.full((*SIZE, 3), 200, np.uint8)) == CAR).all()


@given(st.lists(st.integers(0, 10), min_size=1, max_size=6))
def test_no_class_comes_out_that_never_went_in(classes: list[int]) -> None:
    smooth = Smooth()
    for n, cls in enumerate(classes):
        out = seen(smooth, np.full(SIZE, cls, np.uint8), texture(), n)
        assert set(np.unique(out)) <= set(classes[: n + 1])
