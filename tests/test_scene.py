"""The scene: fractions, regions and their boxes in source-frame pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivenet.classmap import ClassMap
from drivenet.labels import CAMVID, CITYSCAPES, IGNORE_ID
from drivenet.scene import Scene, analyse, tracked
from drivenet.things.tracking import Tracker

ROAD, SKY, CAR = CAMVID.id_of("Road"), CAMVID.id_of("Sky"), CAMVID.id_of("Car")


def drawn(**boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Half sky, half road, 100x200, with (x, y, w, h) boxes by class name."""
    ids = np.full((100, 200), ROAD, np.uint8)
    ids[:50] = SKY
    for name, (x, y, w, h) in boxes.items():
        ids[y : y + h, x : x + w] = CAMVID.id_of(name)
    return ids


def scene_of(ids: np.ndarray, frame_size: tuple[int, int] = (100, 200), **keywords: float) -> Scene:
    return analyse(ClassMap(ids, 7, 0), CAMVID, frame_size, **keywords)


def test_fractions_are_of_the_whole_picture_and_absent_classes_are_absent() -> None:
    scene = scene_of(drawn(Car=(10, 60, 20, 10)))
    assert scene.index == 7
    assert scene.classes == {"Sky": 0.5, "Road": 0.49, "Car": 0.01}
    assert scene.groups == {"road": 0.49, "vehicle": 0.01, "background": 0.5}


def test_ignored_pixels_belong_to_no_class_and_still_count_as_picture() -> None:
    ids = drawn()
    ids[:, :100] = IGNORE_ID
    assert scene_of(ids).classes == {"Sky": 0.25, "Road": 0.25}


def test_a_map_of_nothing_known_is_an_empty_scene() -> None:
    scene = scene_of(np.full((4, 4), IGNORE_ID, np.uint8))
    assert (scene.classes, scene.groups, scene.regions) == ({}, {}, {})


def test_a_box_is_in_pixels_of_the_source_frame() -> None:
    (region,) = scene_of(drawn(Car=(10, 60, 20, 10)), frame_size=(1000, 1000)).regions["vehicle"]
    assert region.cls == "Car"
    assert region.box == (50, 600, 100, 100)
    assert region.area == 0.01
    assert region.centroid == (100.0, 650.0)


def test_regions_come_largest_first_and_small_ones_are_noise() -> None:
    ids = drawn()
    ids[60:62, 5:7] = CAR
    ids[70:80, 50:60] = CAR
    ids[60:90, 100:140] = CAR
    found = scene_of(ids, min_area=0.001).regions["vehicle"]
    assert [r.box for r in found] == [(100, 60, 40, 30), (50, 70, 10, 10)]


def test_what_touches_at_a_corner_is_one_region() -> None:
    ids = drawn()
    ids[60:70, 10:20] = ids[70:80, 20:30] = CAR
    (region,) = scene_of(ids).regions["vehicle"]
    assert region.box == (10, 60, 20, 20)


def test_a_region_has_the_class_of_most_of_its_pixels() -> None:
    scene = scene_of(drawn(Pedestrian=(10, 40, 10, 20), Bicyclist=(10, 60, 10, 30)))
    (region,) = scene.regions["pedestrian"]
    assert (region.cls, region.box) == ("Bicyclist", (10, 40, 10, 50))


def test_only_countable_groups_have_regions() -> None:
    scene = scene_of(drawn(Building=(0, 0, 50, 50), SignSymbol=(150, 20, 10, 10)))
    assert set(scene.regions) == {"sign"}


def test_a_frame_smaller_than_the_map_keeps_boxes_of_at_least_one_pixel() -> None:
    ids = np.full((256, 512), SKY, np.uint8)
    ids[-20:, -20:] = CAR
    (region,) = scene_of(ids, frame_size=(2, 4)).regions["vehicle"]
    assert region.box == (3, 1, 1, 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 30), st.integers(1, 30)), st.integers(1, 400))
def test_any_ids_give_boxes_inside_the_frame_and_shares_that_add_up(
    seed: int, size: tuple[int, int], frame_side: int
) -> None:
    ids = np.random.default_rng(seed).integers(0, len(CITYSCAPES), size, dtype=np.uint8)
    frame_size = (frame_side, 2 * frame_side)
    scene = analyse(ClassMap(ids, 0, 0), CITYSCAPES, frame_size, min_area=0.0)
    assert sum(scene.classes.values()) == pytest.approx(1)
    assert sum(scene.groups.values()) == pytest.approx(1)
    for group, regions in scene.regions.items():
        assert sum(r.area for r in regions) == pytest.approx(scene.groups[group])
        for x, y, w, h in (r.box for r in regions):
            assert 0 <= x < x + w <= frame_size[1]
            assert 0 <= y < y + h <= frame_size[0]


def test_the_stats_members_are_plain_json_with_regions_of_countable_groups_only() -> None:
    ids = drawn(Car=(10, 60, 20, 10))
    ids[0, 0] = CAMVID.id_of("Pedestrian")  # below the smallest region
    line = json.loads(json.dumps(scene_of(ids).to_dict()))
    assert line["things"] == [{"class": "Car", "box": [10, 60, 20, 10], "area": 0.01}]
    assert line["classes"] == {"Sky": 0.49995, "Road": 0.49, "Car": 0.01, "Pedestrian": 5e-05}
    assert line["groups"]["road"] == {"fraction": 0.49}
    assert line["groups"]["pedestrian"] == {"fraction": 5e-05, "regions": []}
    assert line["groups"]["vehicle"]["regions"] == [{"class": "Car", "box": [10, 60, 20, 10], "area": 0.01}]


def test_every_thing_has_its_pixels_in_the_instance_map() -> None:
    scene = scene_of(drawn(Car=(10, 60, 20, 10), Pedestrian=(50, 50, 5, 20), SignSymbol=(150, 20, 8, 8)))
    assert [t.cls for t in scene.things] == ["Car", "Pedestrian", "SignSymbol"]
    assert [t.group for t in scene.things] == ["vehicle", "pedestrian", "sign"]
    assert scene.instances is not None
    assert [int(np.sum(scene.instances == k)) for k in (1, 2, 3)] == [200, 100, 64]


def test_a_tracked_scene_has_ids_and_writes_them() -> None:
    tracker = Tracker()
    for index in range(3):
        scene = scene_of(drawn(Car=(10 + index, 60, 20, 10)), frame_size=(1000, 1000))
        scene = tracked(scene, tracker, index * 100_000_000, CAMVID, (1000, 1000))
    (car,) = scene.things
    assert (car.id, car.name, car.age_s) == (1, "Car 1", 0.2)
    assert car.velocity == pytest.approx((50.0, 0.0))
    (line,) = json.loads(json.dumps(scene.to_dict()))["things"]
    assert line == {
        "class": "Car", "box": [60, 600, 100, 100], "area": 0.01, "id": 1, "age_s": 0.2, "velocity": [50.0, 0.0],
    }  # fmt: skip
    assert scene.to_dict()["groups"]["vehicle"]["regions"] == [  # type: ignore[index]
        {"class": "Car", "box": [60, 600, 100, 100], "area": 0.01}
    ]
