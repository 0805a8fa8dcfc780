"""Panoptic PNG and cut-outs."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest

from drivenet.errors import UsageError
from drivenet.labels import CITYSCAPES, LabelSet
from drivenet.synthetic import SyntheticDrive
from drivenet.things import Thing
from drivenet.things.pictures import PanopticEncoder, cutout, wanted_classes

CAR, ROAD = CITYSCAPES.id_of("car"), CITYSCAPES.id_of("road")


def thing(id_: int) -> Thing:
    return Thing("car", (0, 0, 1, 1), 0.1, (0.0, 0.0), id=id_)


def maps(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A row of cars, one pixel each, beside road and a pixel without a class."""
    ids, instances = np.full((1, count + 2), CAR, np.uint8), np.zeros((1, count + 2), np.uint8)
    instances[0, :count] = np.arange(1, count + 1)
    ids[0, count], ids[0, count + 1] = ROAD, 255
    return ids, instances


def values(png: bytes) -> list[int]:
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    return list(map(int, pixels[0]))


def test_things_are_class_times_1000_and_number_and_stuff_is_its_class() -> None:
    encoder = PanopticEncoder(CITYSCAPES)
    assert values(encoder.encode(*maps(2), [thing(40), thing(7)])) == [13001, 13002, ROAD, 65535]
    # ids last: 7 keeps its number, one without an id counts down from the top
    assert values(encoder.encode(*maps(3), [thing(7), thing(0), thing(41)])) == [13002, 13999, 13003, ROAD, 65535]


def test_single_pictures_count_from_1() -> None:
    encoder = PanopticEncoder(CITYSCAPES, single=True)
    for _ in range(2):
        assert values(encoder.encode(*maps(2), [thing(0), thing(0)]))[:2] == [13001, 13002]


def test_the_first_frame_of_a_run_gives_nothing_the_number_of_another_thing() -> None:
    """It has no ids yet: its first thing had the number of whatever got the first id."""
    encoder = PanopticEncoder(CITYSCAPES)
    assert values(encoder.encode(*maps(2), [thing(0), thing(0)]))[:2] == [13999, 13998]
    assert values(encoder.encode(*maps(2), [thing(1), thing(2)]))[:2] == [13001, 13002]


def test_two_things_of_a_frame_never_share_a_number() -> None:
    """The numbers of things with an id come down to those of things without one."""
    encoder = PanopticEncoder(CITYSCAPES)
    for i in range(1, 999):
        encoder.encode(*maps(1), [thing(i)])
    assert values(encoder.encode(*maps(3), [thing(0), thing(999), thing(998)]))[:3] == [13997, 13999, 13998]


def test_numbers_begin_again_after_999(caplog: pytest.LogCaptureFixture) -> None:
    encoder = PanopticEncoder(CITYSCAPES)
    with caplog.at_level(logging.WARNING, "drivenet"):
        seen = [values(encoder.encode(*maps(1), [thing(i)]))[0] for i in range(1, 1003)]
    assert seen[:999] == list(range(13001, 14000))
    assert seen[999:] == [13001, 13002, 13003]
    assert sum("999" in record.message for record in caplog.records) == 1


def test_many_classes_are_written_in_colours() -> None:
    names = tuple(f"c{i}" for i in range(70))
    labels = LabelSet("many", names, tuple((i, 0, 0) for i in range(70)), dict.fromkeys(names, "vehicle"))
    ids = np.array([[69]], np.uint8)
    car = Thing("c69", (0, 0, 1, 1), 0.1, (0.0, 0.0), id=3)
    pixels = cv2.imdecode(
        np.frombuffer(PanopticEncoder(labels).encode(ids, np.array([[1]], np.uint8), [car]), np.uint8), 1
    )
    blue, green, red = map(int, pixels[0, 0])
    assert red + 256 * green + 65536 * blue == 69001


@pytest.mark.parametrize(("group", "told"), [("vehicle", 1), ("road", 0)])
def test_things_of_class_0_are_told_once(caplog: pytest.LogCaptureFixture, group: str, told: int) -> None:
    """Their numbers are those of other classes' stuff."""
    labels = LabelSet("two", ("first", "second"), ((1, 0, 0), (2, 0, 0)), {"first": group, "second": "background"})
    with caplog.at_level(logging.WARNING, "drivenet"):
        encoder = PanopticEncoder(labels)
        for _ in range(2):
            encoder.encode(np.zeros((1, 1), np.uint8), None, [])
    assert sum("class 0 is first" in record.message for record in caplog.records) == told


def test_a_cut_out_of_a_drawn_car_is_opaque_exactly_where_the_ids_say() -> None:
    frame = SyntheticDrive(256, 144, seed=0, labels=CITYSCAPES).frame(10)
    pixels = cv2.imdecode(
        np.frombuffer(cutout(frame.image, frame.ids, wanted_classes(["car"], CITYSCAPES)), np.uint8),
        cv2.IMREAD_UNCHANGED,
    )
    car = frame.ids == CAR
    assert car.any()
    np.testing.assert_array_equal(pixels[..., 3] == 255, car)
    assert set(np.unique(pixels[..., 3])) == {0, 255}
    np.testing.assert_array_equal(pixels[car][:, :3], frame.image[car])
    assert not pixels[~car].any()


def test_groups_can_be_wanted_and_unknown_names_are_refused() -> None:
    wanted = np.flatnonzero(wanted_classes(["pedestrian", "car"], CITYSCAPES))
    assert [CITYSCAPES.classes[i] for i in wanted] == ["person", "rider", "car"]
    with pytest.raises(UsageError, match="did you mean"):
        wanted_classes(["cat"], CITYSCAPES)
