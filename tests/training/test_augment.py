"""Augmentation: picture and truth stay together, chance comes from one generator, recolouring obeys the labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import UNVARIED, material_of

from drivenet.data.base import Sample
from drivenet.labels import CAMVID, IGNORE_ID, LabelSet
from drivenet.synthetic import SyntheticDrive
from drivenet.training import recolour
from drivenet.training.assemble import class_shares
from drivenet.training.augment import Augment
from drivenet.training.samples import Batches, Order, Source
from drivenet.training.sets import SetCodes
from drivenet.training.settings import AugmentSettings

CROP = (64, 96)
SKY, ROAD, TREE, BUILDING = (CAMVID.id_of(name) for name in ("Sky", "Road", "Tree", "Building"))


def augment(**changes: Any) -> Augment:
    return Augment(AugmentSettings.model_validate({"crop": CROP, **UNVARIED, **changes}), SetCodes(CAMVID))


@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("scale", [(0.5, 0.5), (1, 1), (2, 2)])
def test_picture_and_ids_stay_aligned(flip: float, scale: tuple[float, float]) -> None:
    """The picture is painted from the ids: wherever it shows a pure colour, the ids must agree."""
    ids = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 11, (6, 8), np.uint8), 16, 0), 16, 1)
    image = np.ascontiguousarray(CAMVID.bgr_table[ids])
    for seed in range(4):
        picture, truth = augment(flip=flip, scale=scale)(image, ids, (96, 128), np.random.default_rng(seed))
        assert picture.shape == (*CROP, 3)
        assert truth.shape == CROP
        painted = CAMVID.bgr_table[truth].astype(int)
        inner = cv2.erode(cv2.dilate(truth, np.ones((3, 3))), np.ones((3, 3))) == truth
        wrong = (np.abs(picture.astype(int) - painted).max(-1) > 40) & inner
        assert wrong.mean() < 0.25
        away = cv2.morphologyEx(truth, cv2.MORPH_GRADIENT, np.ones((5, 5))) == 0
        assert not (wrong & away).any()


def test_what_lies_outside_is_ignored() -> None:
    image, ids = np.full((96, 128, 3), 200, np.uint8), np.zeros((96, 128), np.uint8)
    picture, truth = augment(scale=(0.5, 0.5))(image, ids, (96, 128), np.random.default_rng(0))
    assert set(np.unique(truth)) == {0, IGNORE_ID}
    assert picture[truth == IGNORE_ID].mean() < 5


def test_the_generator_is_the_only_chance() -> None:
    image, ids = SyntheticDrive(160, 96, seed=3).render(5)
    everything = Augment(AugmentSettings(crop=CROP), SetCodes(CAMVID))
    for seed in range(6):
        one, two = (everything(image, ids, (96, 160), np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])
    assert (one[0] != everything(image, ids, (96, 160), np.random.default_rng(99))[0]).any()


def two_halves() -> tuple[recolour.Float, recolour.Ids]:
    """White sky over a grey road."""
    ids = np.full((80, 100), ROAD, np.uint8)
    ids[:40] = SKY
    return np.where(ids[..., None] == SKY, np.float32(230), np.float32(90)).repeat(3, -1), ids


@pytest.mark.parametrize("seed", range(5))
def test_a_blue_sky_is_blue_and_the_rest_as_it_was(seed: int) -> None:
    pixels, ids = two_halves()
    before = pixels.copy()
    recolour.sky(pixels, ids == SKY, "blue", np.random.default_rng(seed))
    zenith = pixels[:10].mean((0, 1))
    assert zenith[0] > zenith[2] + 8
    np.testing.assert_allclose(pixels[50:], before[50:], atol=1)


def test_a_road_changes_and_its_sky_does_not() -> None:
    pixels, ids = two_halves()
    before = pixels.copy()
    recolour.road(pixels, ids == ROAD, np.random.default_rng(0))
    np.testing.assert_allclose(pixels[:30], before[:30], rtol=0.01)
    assert np.abs(pixels[60:] - before[60:]).mean() > 5


@pytest.mark.parametrize("look", ["dusk", "night"])
def test_the_light_goes(look: str) -> None:
    pixels, _ = two_halves()
    before = float(pixels.mean())
    recolour.dim(pixels, look, np.random.default_rng(1))
    assert pixels.mean() < 0.85 * before


def test_a_picture_without_sky_is_left_alone() -> None:
    pixels, ids = two_halves()
    before = pixels.copy()
    recolour.sky(pixels, ids == 99, "blue", np.random.default_rng(0))
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("seed", range(6))
def test_hills_rise_out_of_the_lowest_sky_and_are_trees(seed: int) -> None:
    pixels, ids = two_halves()
    before = pixels.copy()
    recolour.hills(pixels, ids, SKY, TREE, np.random.default_rng(seed))
    hills = ids == TREE
    assert hills[39].all()  # nothing of the sky is left below them
    assert 0.01 < hills.mean() < 0.4
    assert (np.diff(hills[:40].astype(int), axis=0) >= 0).all()
    assert (ids[40:] == ROAD).all()
    np.testing.assert_allclose(pixels[45:], before[45:], atol=1)
    np.testing.assert_array_equal(pixels[:8], before[:8])
    assert np.abs(pixels[39] - before[39]).mean() > 10


def test_hills_stand_behind_everything() -> None:
    pixels, ids = two_halves()
    ids[5:40, 40:60] = BUILDING
    recolour.hills(pixels, ids, SKY, TREE, np.random.default_rng(0))
    assert (ids[5:40, 40:60] == BUILDING).all()
    assert (ids == TREE).any()


def test_without_a_sky_there_are_no_hills() -> None:
    pixels, ids = two_halves()
    before, ids[:] = pixels.copy(), ROAD
    recolour.hills(pixels, ids, SKY, TREE, np.random.default_rng(0))
    np.testing.assert_array_equal(pixels, before)
    assert (ids == ROAD).all()


def test_what_no_truth_counts_is_no_sky() -> None:
    """A label set without a class sky: its id is that of the void."""
    pixels, ids = two_halves()
    ids[:40] = IGNORE_ID
    before = ids.copy()
    recolour.hills(pixels, ids, IGNORE_ID, TREE, np.random.default_rng(0))
    np.testing.assert_array_equal(ids, before)


def test_what_no_truth_counts_is_given_no_sky_and_no_night_sky() -> None:
    """A label set without a class sky: its void, of walls and all that lies outside, was painted as a sky is."""
    labels = LabelSet("two", ("road", "car"), ((0, 0, 0), (9, 9, 9)), {"road": "road", "car": "vehicle"})
    image, ids = np.full((*CROP, 3), (30, 90, 200), np.uint8), np.full(CROP, IGNORE_ID, np.uint8)
    ids[40:] = 0
    for changes in ({"recolour_sky": 1}, {"dusk": 1}):
        settings = AugmentSettings.model_validate(
            {"crop": CROP, "scale": (1, 1), "aspect": (1, 1), **UNVARIED, **changes}
        )
        picture, _ = Augment(settings, SetCodes(labels))(image, ids, CROP, np.random.default_rng(0))
        assert (picture == picture[-1, 0]).all(), changes  # all of it is as its road


def test_dry_vegetation_is_yellower_and_the_rest_as_it_was() -> None:
    pixels, ids = two_halves()
    before = pixels.copy()
    recolour.dry(pixels, ids == ROAD, np.random.default_rng(0))
    blue, _, red = pixels[60:].mean((0, 1))
    assert red > 1.1 * blue
    np.testing.assert_allclose(pixels[:30], before[:30], rtol=0.01)


def test_hills_reach_the_batches() -> None:
    image, ids = SyntheticDrive(160, 96, seed=3).render(5)
    trees = {
        chance: sum(
            int((augment(hills=chance)(image, ids, (96, 160), np.random.default_rng(seed), drawn)[1] == TREE).sum())
            for seed in range(6)
        )
        for drawn in (False, True)
        for chance in (0, 1)
    }
    assert trees[1] > trees[0]


def test_class_shares_count_labelled_pixels() -> None:
    ids = np.full((10, 10), IGNORE_ID, np.uint8)
    ids[:2], ids[2:3] = ROAD, SKY
    shares = class_shares(material_of(CAMVID, [Sample(np.zeros((10, 10, 3), np.uint8), ids, "x")]))
    assert shares[[ROAD, SKY]] == pytest.approx([2 / 3, 1 / 3])
    assert shares.sum() == pytest.approx(1)


def test_class_shares_read_500_pictures_at_most() -> None:
    read: list[int] = []

    class Many:
        def __len__(self) -> int:
            return 999

        def __getitem__(self, index: int) -> Sample:
            read.append(index)
            return Sample(np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 3, np.uint8), "x")

        def __iter__(self) -> Iterator[Sample]:
            return (self[i] for i in range(len(self)))

    assert class_shares(material_of(CAMVID, Many()))[3] == 1
    assert 250 <= len(set(read)) == len(read) <= 500
    assert max(read) > 990


def test_batches_depend_on_seed_and_iteration_alone() -> None:
    image, ids = SyntheticDrive(160, 96, seed=3).render(5)
    drawn = [Sample(image, ids, "x")]

    def batches(seed: int) -> Batches:
        order = Order([Source(drawn, 1), Source(drawn, 1, drawn=True)], seed)
        return Batches(order, Augment(AugmentSettings(crop=CROP), SetCodes(CAMVID)), (96, 160), 2)

    stream = batches(1).start(7)
    for iteration in (7, 8):
        images, truth = next(stream)
        assert (images == batches(1).at(iteration)[0]).all()
        assert (truth == batches(1).at(iteration)[1]).all()
    stream.close()
    assert (batches(1).at(7)[0] != batches(2).at(7)[0]).any()
