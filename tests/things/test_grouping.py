"""Grouping of pixels into things by centres and offsets."""

from __future__ import annotations

import numpy as np
import pytest

from drivenet.classmap import ThingMaps
from drivenet.labels import CAMVID, CITYSCAPES
from drivenet.modelspec import LabelsSpec, ModelSpec, ThingsSpec
from drivenet.prepare import crop_bars, crop_maps, resize_ids
from drivenet.scene import parted
from drivenet.things import MOST_THINGS
from drivenet.things.components import components
from drivenet.things.grouping import GroupingRule, group
from drivenet.things.measure import measure

CAR, TRUCK, PERSON, SIGN, ROAD = (CITYSCAPES.id_of(n) for n in ("car", "truck", "person", "traffic sign", "road"))
KINDS = CITYSCAPES.countable_table
RULE = GroupingRule(centre=60, reach=4.0, scale=1.0, min_area=0.0002)
SIZE, CELLS = (144, 256), (72, 128)


def ideal(truth: np.ndarray, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Centres and offsets as a perfect head would give them for an instance map of SIZE."""
    rng = np.random.default_rng(seed)
    centres, offsets = np.zeros(CELLS, np.uint8), np.zeros((2, *CELLS), np.int8)
    rows, columns = np.mgrid[: CELLS[0], : CELLS[1]]
    cells = truth[1::2, 1::2]
    for thing in np.unique(truth[truth > 0]):
        mask = cells == thing
        if not mask.any():
            continue
        y, x = (round(float(v[mask].mean())) for v in (rows, columns))
        centres[y, x] = 200
        wander = rng.normal(0, noise, (2, *CELLS))
        for axis, (place, to) in enumerate(((rows, y), (columns, x))):
            offsets[axis][mask] = np.clip(np.rint(to - place + wander[axis]), -128, 127)[mask]
    return centres, (offsets.astype(int) + 128).astype(np.uint8)


def drawn(*boxes: tuple[int, int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Class ids and true instances of rectangles x, y, width, height, class; later ones are in front."""
    ids, truth = np.full(SIZE, ROAD, np.uint8), np.zeros(SIZE, np.uint8)
    for number, (x, y, w, h, cls) in enumerate(boxes, 1):
        ids[y : y + h, x : x + w] = cls
        truth[y : y + h, x : x + w] = number
    return ids, truth


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_two_touching_cars_are_two_things() -> None:
    ids, truth = drawn((40, 60, 30, 20, CAR), (70, 60, 30, 20, CAR))
    assert components(ids, KINDS)[1] == 1
    found = group(ids, *ideal(truth), KINDS, RULE)
    assert same_partition(found.instances, truth)
    assert found.scores.tolist() == pytest.approx([200 / 255] * 2)


def test_a_car_behind_a_pole_is_one_thing() -> None:
    ids, truth = drawn((40, 60, 40, 20, CAR))
    ids[:, 58:62], truth[:, 58:62] = CITYSCAPES.id_of("pole"), 0
    assert components(ids, KINDS)[1] == 2
    assert same_partition(group(ids, *ideal(truth), KINDS, RULE).instances, truth)


def test_a_person_before_a_car_stays_a_person_even_if_the_offsets_point_at_the_car() -> None:
    ids, truth = drawn((40, 60, 40, 30, CAR), (56, 62, 8, 26, PERSON))
    centres, offsets = ideal(np.where(truth > 0, 1, 0).astype(np.uint8))
    found = group(ids, centres, offsets, KINDS, RULE)
    assert same_partition(found.instances, truth)


def test_a_seam_of_another_kind_is_no_thing() -> None:
    """Two columns beside a car that are taken for a person point at the car's centre, as they do in its seams."""
    ids, truth = drawn((40, 60, 40, 20, CAR))
    ids[60:80, 80:82] = PERSON
    centres, offsets = ideal(np.where(ids != ROAD, 1, 0).astype(np.uint8))
    assert same_partition(group(ids, centres, offsets, KINDS, RULE).instances, truth)


def test_a_small_component_without_a_centre_is_noise() -> None:
    ids, truth = drawn((40, 60, 40, 20, CAR), (150, 20, 4, 3, SIGN), (200, 20, 6, 6, SIGN))
    centres, offsets = ideal(np.where(truth == 1, truth, 0))
    found = group(ids, centres, offsets, KINDS, RULE)
    assert same_partition(found.instances, np.where(truth == 2, 0, truth))
    assert found.scores.tolist() == pytest.approx([200 / 255, 0.0])


def test_pixels_far_from_their_thing_join_the_nearest_one_of_their_component() -> None:
    """A row of three cars that touch, in which some of the last one's pixels point at the first, large one."""
    ids, truth = drawn((20, 50, 80, 50, CAR), (100, 70, 40, 20, CAR), (140, 70, 40, 20, CAR))
    centres, offsets = ideal(truth)
    stray = (slice(37, 41), slice(80, 86))
    rows, columns = np.mgrid[stray]
    offsets[0][stray], offsets[1][stray] = 128 + 37 - rows, 128 + 30 - columns
    assert same_partition(group(ids, centres, offsets, KINDS, RULE).instances, truth)


def test_pixels_that_claim_no_centre_join_the_nearest_thing_not_the_largest() -> None:
    ids, truth = drawn((20, 50, 80, 50, CAR), (100, 70, 40, 20, CAR), (140, 70, 40, 20, CAR))
    centres, offsets = ideal(truth)
    offsets[0][36:40, 80:88] = 128 + 30  # into the road
    assert same_partition(group(ids, centres, offsets, KINDS, RULE).instances, truth)


def test_a_speck_beside_another_component_joins_the_nearest_thing_of_its_own() -> None:
    """And not the largest one, at the other end of the picture: its box would reach over all between."""
    ids, truth = drawn((0, 90, 40, 20, CAR), (40, 90, 80, 20, CAR), (120, 70, 100, 60, CAR), (14, 40, 30, 30, CAR))
    centres, offsets = ideal(truth)
    ids[50:90, 2:4], truth[50:90, 2:4] = CAR, 1
    offsets[:, 25:45, 1] = 128 + 30
    assert same_partition(group(ids, centres, offsets, KINDS, RULE).instances, truth)


def test_the_nearest_thing_may_be_far_away() -> None:
    """A tall lorry between two cars points nowhere: its halves are as far as 40 rows from either car."""
    ids, truth = drawn((40, 20, 30, 20, CAR), (40, 40, 30, 80, TRUCK), (40, 120, 60, 24, CAR))
    truth[40:80][truth[40:80] > 0], truth[80:120][truth[80:120] > 0] = 1, 3
    centres, offsets = ideal(np.where((ids == TRUCK), 0, truth).astype(np.uint8))
    offsets[:, 20:60] = 128 + 30
    assert same_partition(group(ids, centres, offsets, KINDS, RULE).instances, truth)


def test_a_picture_without_things_has_none() -> None:
    found = group(np.full(SIZE, ROAD, np.uint8), *ideal(drawn((40, 60, 30, 20, CAR))[1]), KINDS, RULE)
    assert not found.instances.any()
    assert not len(found.scores)


def test_without_centres_a_component_is_one_thing() -> None:
    ids, _ = drawn((40, 60, 30, 20, CAR), (70, 60, 30, 20, TRUCK), (150, 60, 30, 20, CAR))
    nothing = np.zeros(CELLS, np.uint8), np.full((2, *CELLS), 128, np.uint8)
    found = group(ids, *nothing, KINDS, RULE)
    plain, count = components(ids, KINDS)
    assert same_partition(found.instances, plain)
    assert count == len(found.scores) == 2
    assert not found.scores.any()


def test_pixels_that_point_nowhere_join_the_thing_of_their_component() -> None:
    ids, truth = drawn((40, 60, 60, 20, CAR))
    centres, offsets = ideal(truth)
    offsets[:, 30:40, 20:26] = 228
    assert same_partition(group(ids, centres, offsets, KINDS, RULE).instances, truth)


def test_a_weak_centre_is_none_and_a_few_stray_pixels_are_none() -> None:
    ids, truth = drawn((40, 60, 60, 20, CAR))
    centres, offsets = ideal(truth)
    centres[5, 5], centres[60, 100] = RULE.centre - 1, 255
    offsets[:, 35, 35] = (128 + 60 - 35, 128 + 100 - 35)
    found = group(ids, centres, offsets, KINDS, GroupingRule(60, 4.0, 1.0, 0.001))
    assert same_partition(found.instances, truth)


def test_tiny_things_are_dropped_and_the_largest_comes_first() -> None:
    ids, truth = drawn((10, 10, 2, 2, SIGN), (40, 60, 30, 20, CAR), (120, 60, 40, 40, CAR))
    found = group(ids, *ideal(truth), KINDS, GroupingRule(60, 4.0, 1.0, 0.001))
    measured = measure(found.instances, ids, len(found.scores))
    assert measured.areas.tolist() == [1600, 600]
    assert measured.boxes.tolist() == [[120, 60, 40, 40], [40, 60, 30, 20]]
    assert measured.centroids.tolist() == [[140.0, 80.0], [55.0, 70.0]]


def test_the_class_is_that_of_most_pixels() -> None:
    ids, truth = drawn((40, 60, 30, 20, CAR))
    ids[60:66, 40:70] = TRUCK
    found = group(ids, *ideal(truth), KINDS, RULE)
    assert measure(found.instances, ids, 1).classes.tolist() == [CAR]


def test_a_peak_that_is_its_own_centre_stays_beside_a_higher_one() -> None:
    ids, truth = drawn((40, 60, 10, 20, CAR), (50, 60, 10, 20, CAR))
    centres, offsets = ideal(truth)
    centres[centres > 0] = (250, 100)
    assert same_partition(group(ids, centres, offsets, KINDS, RULE).instances, truth)


def test_two_peaks_of_one_height_beside_each_other_are_one() -> None:
    ids, truth = drawn((40, 60, 60, 20, CAR))
    centres, offsets = ideal(truth)
    (y, x) = (int(v[0]) for v in np.nonzero(centres))
    centres[y, x + 1] = centres[y, x]
    offsets[1, :, x + 1 :] += 1
    assert same_partition(group(ids, centres, offsets, KINDS, RULE).instances, truth)


def test_offsets_count_in_the_scale_of_the_rule() -> None:
    ids, truth = drawn((40, 60, 60, 20, CAR), (100, 60, 60, 20, CAR))
    centres, offsets = ideal(truth)
    halved = np.rint(128 + (offsets.astype(int) - 128) / 2).astype(np.uint8)
    assert same_partition(group(ids, centres, halved, KINDS, GroupingRule(60, 4.0, 2.0, 0.0)).instances, truth)


def test_things_beyond_the_most_are_left_out_largest_kept() -> None:
    ids = np.full((288, 512), ROAD, np.uint8)
    ids[::8, ::8] = CAR
    ids[100:120, 100:130] = CAR
    found, count = components(ids, KINDS, min_area=0)
    assert count == MOST_THINGS == found.max()
    assert np.sum(found == 1) > 600


@pytest.mark.parametrize("seed", range(5))
def test_random_scenes_are_parted_as_they_were_drawn(seed: int) -> None:
    """Twenty-five overlapping boxes and noisy offsets: nearly every pixel gets the thing it was drawn as."""
    rng = np.random.default_rng(seed)
    boxes = []
    for _ in range(25):
        w, h = int(rng.integers(12, 40)), int(rng.integers(12, 40))
        boxes.append((int(rng.integers(0, 256 - w)), int(rng.integers(0, 144 - h)), w, h, CAR))
    ids, truth = drawn(*boxes)
    seen = [n for n in np.unique(truth[truth > 0]) if np.sum(truth == n) > 120]
    found = group(ids, *ideal(truth, noise=0.4, seed=seed), KINDS, RULE)
    good = 0
    for n in seen:
        mine = np.bincount(found.instances[truth == n]).argmax()
        union = np.sum((found.instances == mine) | (truth == n))
        good += np.sum((found.instances == mine) & (truth == n)) / union > 0.75
    assert good >= 0.9 * len(seen)


def test_measuring_nothing_gives_nothing() -> None:
    empty = np.zeros(SIZE, np.uint8)
    assert measure(empty, empty, 0).things(CITYSCAPES, SIZE, (720, 1280)) == []


@pytest.mark.parametrize("stride", [1, 2, 8])
@pytest.mark.parametrize("high", [64, 61, 44, 36, 30])
def test_things_of_a_letterboxed_picture_end_where_their_cells_do(stride: int, high: int) -> None:
    """The bars end within a cell of the maps, or of the ids; two cars meet at row 24 of the input."""
    spec = ModelSpec(
        name="boxed", architecture="none", input=(64, 64), output=(64 // stride, 64 // stride), mean=(0, 0, 0),
        std=(1, 1, 1), letterbox=114, labels=LabelsSpec.of(CAMVID), params=0, gmac=0,
        things=ThingsSpec(cells=(8, 8), scale=1.0, centre=60, reach=3.0, min_area=0.0),
    )  # fmt: skip
    centres, offsets = np.zeros((8, 8), np.uint8), np.full((2, 8, 8), 128, np.uint8)
    for rows, centre in ((slice(0, 3), 2), (slice(3, 8), 5)):
        centres[centre, 4] = 200 + centre  # peaks of one height would be one
        offsets[0, rows] = (128 + centre - np.arange(8)[rows])[:, None]
        offsets[1, rows] = 128 + 4 - np.arange(8)
    ids = crop_bars(np.full(spec.output, CAMVID.id_of("Car"), np.uint8), spec, (high, 64))
    maps = crop_maps(ThingMaps(centres, offsets), spec, (high, 64))
    assert spec.things is not None
    found = resize_ids(parted(ids, maps, spec.things, CAMVID).instances, (high, 64))
    assert len(np.unique(found)) == 2
    assert np.flatnonzero(found[:, 0] != found[0, 0])[0] == 24 - (64 - high) // 2
