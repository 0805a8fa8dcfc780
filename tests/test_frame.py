"""Frames: what may be one, and pictures that are converted only when somebody looks at them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from drivenet.errors import SourceError
from drivenet.frame import Frame, Image


class Held:
    """A decoder's picture of 40 x 60 pixels that counts how many times it is converted."""

    size = (40, 60)

    def __init__(self) -> None:
        self.conversions = 0
        self.pixels = np.random.default_rng(0).integers(0, 256, (*self.size, 3), np.uint8)

    def whole(self) -> Image:
        self.conversions += 1
        return self.pixels

    def resized(self, size: tuple[int, int]) -> Image:
        return np.zeros((*size, 3), np.uint8)

    def sampled(self, step: int) -> Image:
        return self.pixels[::step, ::step]


def test_a_decoded_picture_is_converted_once_and_only_if_somebody_looks() -> None:
    held = Held()
    frame = Frame(held, 3, 5)
    assert (frame.size, repr(frame)) == ((40, 60), "Frame(index=3, 60x40 BGR uint8, captured_ns=5)")
    np.testing.assert_array_equal(frame.sampled(16), held.pixels[::16, ::16])
    later = frame.changed(index=4, media_ns=9)
    assert (later.index, later.captured_ns, later.media_ns, frame.index) == (4, 5, 9, 3)
    assert held.conversions == 0
    np.testing.assert_array_equal(later.image, held.pixels)
    assert later.image is later.image
    assert held.conversions == 1


def test_the_image_is_read_only_whatever_it_was_made_of() -> None:
    held = Held()
    for frame in (Frame(held, 0, 0), Frame(held.pixels, 0, 0)):
        with pytest.raises(ValueError, match="read-only"):
            frame.image[0, 0] = 1
        with pytest.raises(FrozenInstanceError):
            frame.image = held.pixels  # type: ignore[misc]
    assert held.pixels.flags.writeable


@pytest.mark.parametrize("decoded", [True, False])
def test_copies_have_the_same_pixels(decoded: bool) -> None:
    held = Held()
    frame = Frame(held if decoded else held.pixels, 7, 8, 9, "a.png")
    copies = pickle.loads(pickle.dumps(frame)), copy.copy(frame), copy.deepcopy(frame), replace(frame), frame.changed()
    for other in copies:
        np.testing.assert_array_equal(other.image, held.pixels)
        assert (other.size, other.index, other.captured_ns, other.media_ns, other.file) == ((40, 60), 7, 8, 9, "a.png")


def test_another_image_takes_the_place_of_what_was_decoded() -> None:
    held, other = Held(), np.zeros((40, 60, 3), np.uint8)
    frame = Frame(held, 0, 0)
    for changed in (replace(frame, image=other), frame.changed(image=other)):
        assert changed.decoded is None
        assert not changed.sampled(1).any()
    assert held.conversions == 0


@pytest.mark.parametrize("wrong", ["a.png", None, np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8),
                                   np.zeros((4, 4, 3), np.uint8)[:, ::2], np.zeros((0, 4, 3), np.uint8)])  # fmt: skip
def test_anything_else_is_refused(wrong: object) -> None:
    with pytest.raises(SourceError, match=r"frame 2 is .*; expected a C-contiguous HxWx3 uint8 BGR image"):
        Frame(wrong, 2, 0)  # type: ignore[arg-type]


def test_a_misspelt_attribute_is_an_error() -> None:
    with pytest.raises(AttributeError, match="'Frame' object has no attribute 'picture'"):
        _ = Frame(Held(), 0, 0).picture  # type: ignore[attr-defined]
