"""Resizing pictures to the engine and ids back: sizes, no invented ids, aligned pixel centres."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivenet.labels import CAMVID
from drivenet.modelspec import LabelsSpec, ModelSpec
from drivenet.prepare import crop_bars, prepare, prepare_for, resize_ids, smooth_ids
from drivenet.synthetic import SyntheticDrive

SIDE = st.integers(1, 70)


def noise(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


@settings(max_examples=50)
@given(SIDE, SIDE, SIDE, SIDE)
def test_any_size_becomes_any_other(h: int, w: int, to_h: int, to_w: int) -> None:
    out = prepare(noise(h, w), (to_h, to_w))
    assert out.shape == (to_h, to_w, 3)
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous


def test_a_picture_that_fits_is_not_copied() -> None:
    image = noise(30, 40)
    assert prepare(image, (30, 40)) is image


@pytest.mark.parametrize("size", [(10, 10), (30, 30), (45, 80), (90, 160), (200, 300), (30, 300)])
def test_a_flat_picture_keeps_its_colour_and_channel_order(size: tuple[int, int]) -> None:
    out = prepare(np.full((90, 160, 3), (10, 120, 250), np.uint8), size)
    assert (out == (10, 120, 250)).all()


@pytest.mark.parametrize("size", [(60, 90), (45, 80), (180, 320), (30, 320)])
def test_a_picture_is_not_shifted(size: tuple[int, int]) -> None:
    ramp = np.repeat(np.tile(np.arange(160, dtype=np.uint8), (90, 1))[..., None], 3, 2)
    out = prepare(ramp, size).astype(float)
    np.testing.assert_allclose(out[:, ::-1], 159 - out, atol=1.01)


def test_a_strong_shrink_averages_where_bilinear_would_drop_thin_poles() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::4] = 255
    assert prepare(stripes, (16, 16)).std() < 1
    assert 50 < prepare(stripes, (16, 16)).mean() < 80


@pytest.mark.parametrize("to", [(288, 512), (256, 448)])
@pytest.mark.parametrize("size", [(450, 800), (540, 960), (720, 1280), (1080, 1920), (480, 853)])
def test_a_strong_shrink_is_close_to_the_exact_mean_over_the_area(size: tuple[int, int], to: tuple[int, int]) -> None:
    """Closer by far than bilinear, on a drawn street with the noise of a camera."""
    street = SyntheticDrive(size[1], size[0]).render(60)[0].astype(int)
    street = (street + np.random.default_rng(0).normal(0, 6, street.shape)).clip(0, 255).astype(np.uint8)
    exact = cv2.resize(street, to[::-1], interpolation=cv2.INTER_AREA).astype(int)
    ours, bilinear = prepare(street, to), cv2.resize(street, to[::-1])
    assert np.abs(ours - exact).mean() < 1.3
    assert np.abs(ours - exact).mean() < 0.6 * np.abs(bilinear - exact).mean()


@settings(max_examples=50)
@given(SIDE, SIDE, SIDE, SIDE)
def test_a_resized_id_is_that_of_the_nearest_pixel(h: int, w: int, to_h: int, to_w: int) -> None:
    rows = resize_ids(np.tile(np.arange(h, dtype=np.uint8)[:, None], (1, w)), (to_h, to_w))
    columns = resize_ids(np.tile(np.arange(w, dtype=np.uint8), (h, 1)), (to_h, to_w))
    assert rows.shape == columns.shape == (to_h, to_w)
    assert rows.dtype == columns.dtype == np.uint8
    for taken, n, to_n in ((rows, h, to_h), (columns.T, w, to_w)):
        centres = ((np.arange(to_n) + 0.5) * n / to_n)[:, None]
        assert np.abs(taken + 0.5 - centres).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_ids_survive_a_whole_multiple_and_back(factor: int) -> None:
    ids = np.random.default_rng(1).integers(0, 19, (13, 17), np.uint8)
    large = resize_ids(ids, (13 * factor, 17 * factor))
    np.testing.assert_array_equal(large, ids.repeat(factor, 0).repeat(factor, 1))
    np.testing.assert_array_equal(resize_ids(large, (13, 17)), ids)
    assert resize_ids(ids, (13, 17)) is ids


@pytest.mark.parametrize(
    ("size", "window"), [((50, 100), (8, 0, 16, 32)), ((64, 16), (0, 12, 32, 8)), ((32, 32), (0, 0, 32, 32))]
)
def test_a_letterbox_keeps_proportions_and_its_ids_are_cropped(size: tuple[int, int], window: tuple[int, ...]) -> None:
    spec = letterboxed()
    top, left, height, width = window
    inside = np.s_[top : top + height, left : left + width]
    prepared = prepare_for(np.full((*size, 3), 200, np.uint8), spec)
    expected = np.full((32, 32, 3), 114, np.uint8)
    expected[inside] = 200
    np.testing.assert_array_equal(prepared, expected)
    ids = np.arange(16 * 16, dtype=np.uint8).reshape(16, 16)
    cropped = crop_bars(ids, spec, size)
    np.testing.assert_array_equal(cropped, ids[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2])
    assert cropped.flags.c_contiguous


@pytest.mark.parametrize("stride", [1, 2, 8])
@pytest.mark.parametrize("size", [(44, 64), (61, 64), (3, 64), (64, 43), (64, 5), (40, 80), (90, 160)])
def test_ids_without_bars_lie_where_they_lay_whatever_their_size(stride: int, size: tuple[int, int]) -> None:
    """A bar may end within a pixel of the ids; as large as the input, they are what the bars left of them there."""
    spec = letterboxed().model_copy(update={"input": (64, 64), "output": (64 // stride, 64 // stride)})
    white = prepare_for(np.full((*size, 3), 255, np.uint8), spec)[..., 0] == 255
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    ids = np.random.default_rng(0).integers(0, 200, spec.output, np.uint8)
    whole = ids.repeat(stride, 0).repeat(stride, 1)
    found = resize_ids(crop_bars(ids, spec, size), (len(rows), len(columns)))
    np.testing.assert_array_equal(found, whole[np.ix_(rows, columns)])


def test_ids_whose_size_fits_no_bar_are_rounded() -> None:
    spec = letterboxed().model_copy(update={"input": (64, 64), "output": (37, 37)})
    assert crop_bars(np.zeros((37, 37), np.uint8), spec, (43, 64)).shape == (25, 37)
    assert crop_bars(np.zeros((37, 37), np.uint8), spec, (1, 64)).shape == (1, 37)


def test_without_a_letterbox_nothing_is_cropped() -> None:
    spec = letterboxed().model_copy(update={"letterbox": None})
    ids = np.zeros((16, 16), np.uint8)
    assert crop_bars(ids, spec, (50, 100)) is ids
    assert "letterbox" not in spec.to_json()
    assert ModelSpec.from_json(letterboxed().to_json(), "here").letterbox == 114


def letterboxed() -> ModelSpec:
    return ModelSpec(
        name="boxed", architecture="none", input=(32, 32), output=(16, 16), mean=(0, 0, 0), std=(1, 1, 1),
        letterbox=114, labels=LabelsSpec.of(CAMVID), params=0, gmac=0,
    )  # fmt: skip


def test_smooth_ids_round_stairs_off_and_invent_no_class() -> None:
    rng = np.random.default_rng(1)
    ids = cv2.resize(rng.integers(0, 11, (9, 16), np.uint8), (64, 36), interpolation=cv2.INTER_NEAREST)
    smooth = smooth_ids(ids, (288, 512))
    assert smooth.shape == (288, 512)
    assert set(np.unique(smooth)) <= set(np.unique(ids))
    assert (smooth == resize_ids(ids, (288, 512))).mean() > 0.97, "only pixels along outlines change"


def test_smooth_ids_follow_a_slope() -> None:
    """A straight edge at 45 degrees: nearest neighbours leave steps of eight pixels, doubling ones of less."""
    y, x = np.mgrid[:32, :32]
    ids = (y > x).astype(np.uint8)
    yy, xx = np.mgrid[:256, :256] + 0.5
    true = (yy > xx + 8 / 2).astype(np.uint8)
    wrong = [float((f(ids, (256, 256)) != true).mean()) for f in (smooth_ids, resize_ids)]
    assert wrong[0] < 0.6 * wrong[1]


def test_smooth_ids_keep_single_pixels_and_thin_lines() -> None:
    ids = np.zeros((16, 16), np.uint8)
    ids[3, 3] = ids[:, 9] = 5
    smooth = smooth_ids(ids, (64, 64))
    assert (smooth[12:16, 12:16] == 5).sum() >= 8
    assert (smooth[:, 36:40] == 5).all()
    assert smooth_ids(ids, (16, 16)) is not None
    np.testing.assert_array_equal(smooth_ids(ids, (8, 8)), resize_ids(ids, (8, 8)))
