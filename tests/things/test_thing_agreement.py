"""Things of an engine against those of its reference."""

from __future__ import annotations

import numpy as np

from drivenet.things.agreement import ThingAgreement


def drawn(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """An instance map of 64x96 with boxes of (top, left, height, width), numbered in their order."""
    found = np.zeros((64, 96), np.uint8)
    for number, (top, left, height, width) in enumerate(boxes, 1):
        found[top : top + height, left : left + width] = number
    return found


def test_numbers_do_not_matter_and_overlap_does() -> None:
    same = ThingAgreement()
    same.add(drawn((0, 0, 10, 10), (20, 20, 10, 10)), drawn((20, 20, 10, 10), (0, 0, 10, 9)))
    assert (same.counted, same.found, same.share) == (2, 2, 1.0)
    same.add(drawn((0, 0, 10, 10)), drawn((0, 0, 10, 7)))
    assert (same.counted, same.found) == (3, 2)


def test_two_things_that_became_one_are_lost() -> None:
    apart, whole = drawn((0, 0, 10, 10), (0, 10, 10, 10)), drawn((0, 0, 10, 20))
    same = ThingAgreement()
    same.add(apart, whole)
    assert (same.counted, same.found) == (2, 0)


def test_specks_are_not_counted_and_nothing_has_no_share() -> None:
    same = ThingAgreement()
    same.add(drawn((0, 0, 2, 2)), drawn())
    assert same.share is None
    same.add(drawn((0, 0, 3, 2)), drawn())
    assert same.share == 0.0
