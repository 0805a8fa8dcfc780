"""Zones and lines: what is in each, and what crosses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivenet.classmap import ClassMap
from drivenet.errors import ConfigError, UsageError
from drivenet.frame import Frame
from drivenet.labels import CAMVID, CITYSCAPES
from drivenet.latency import Timeline
from drivenet.record import Record
from drivenet.scene import Scene
from drivenet.stages.choose import ChooseClasses
from drivenet.stages.zones import CountZones
from drivenet.things import Thing
from drivenet.zones import Zones, load_zones

ROAD, CAR = CAMVID.id_of("Road"), CAMVID.id_of("Car")
LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


def record(ids: np.ndarray, *things: Thing) -> Record:
    frame = Frame(np.zeros((100, 200, 3), np.uint8), 0, 1)
    layers = {"classmap": ClassMap(ids, 0, 1), "scene": Scene(0, {}, {}, things)}
    return Record(frame, CAMVID, Timeline(1), layers)


def car(x: float, y: float, number: int = 1) -> Thing:
    """A car of 20x10 pixels that stands on (x, y) of a picture of 200x100."""
    return Thing("Car", (round(x - 10), round(y - 10), 20, 10), 0.01, (x, y - 5), id=number, group="vehicle")


def test_areas_and_counts_of_a_zone() -> None:
    ids = np.full((50, 100), ROAD, np.uint8)
    ids[:, 25:] = CAR
    stage = CountZones(Zones({"left": LEFT_HALF}), CAMVID)
    found = stage(record(ids, car(30, 50), car(99, 80, 2), car(150, 50, 3))).layers["zones"].to_dict()["left"]
    assert found["fraction"] == pytest.approx(0.5, abs=0.02)
    assert found["classes"] == pytest.approx({"Road": 0.5, "Car": 0.5}, abs=0.02)
    assert found["counts"] == {"sign": 0, "pedestrian": 0, "vehicle": 2}


def test_a_line_counts_each_thing_once_a_crossing_and_by_direction() -> None:
    ids = np.zeros((50, 100), np.uint8)
    stage = CountZones(Zones({}, {"gate": ((0.5, 0.2), (0.5, 0.8))}), CAMVID)
    walks = {1: [60, 90, 110, 130], 2: [140, 105, 80, 70], 3: [60, 80, 90, 95]}
    for step in range(4):
        things = [car(xs[step], 50, number) for number, xs in walks.items()]
        around = car([60, 90, 110, 130][step], 99, 4)  # below the end of the line
        layers = stage(record(ids, *things, around)).layers
    assert "zones" not in layers
    # the line points downwards: its left is the right of the picture
    assert layers["lines"].to_dict()["gate"]["vehicle"] == {"forward": 1, "backward": 1}


def test_things_without_ids_and_after_a_gap_cross_nothing() -> None:
    ids = np.zeros((50, 100), np.uint8)
    stage = CountZones(Zones({}, {"gate": ((0.5, 0.0), (0.5, 1.0))}), CAMVID)
    for x in (60, 150):
        layers = stage(record(ids, car(x, 50, 0))).layers
    stage(record(ids, car(60, 50, 7)))
    stage.reset()
    layers = stage(record(ids, car(150, 50, 7))).layers
    assert layers["lines"].to_dict()["gate"]["vehicle"] == {"forward": 0, "backward": 0}


def test_a_file_in_fractions_and_in_pixels(tmp_path: Path) -> None:
    path = tmp_path / "zones.yaml"
    path.write_text(
        "zones:\n- {name: a, polygon: [[0, 0], [0.5, 0], [0.5, 1]]}\nlines:\n- {name: b, points: [[0, 1], [1, 1]]}\n"
    )
    zones = load_zones(path)
    path.write_text("size: [200, 100]\nzones:\n- {name: a, polygon: [[0, 0], [100, 0], [100, 100]]}\n")
    assert load_zones(path).polygons == zones.polygons == {"a": ((0, 0), (0.5, 0), (0.5, 1))}
    assert zones.lines == {"b": ((0, 1), (1, 1))}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zones: []\n", "neither zones nor lines"),
        ("zones:\n- {name: a, polygon: [[0, 0], [1, 0]]}\n", "polygon"),
        ("zones:\n- {name: a, polygon: [[0, 0], [100, 0], [100, 100]]}\n", r"add size: \[WIDTH, HEIGHT\]"),
        ("zones:\n- {name: a, poligon: [[0, 0], [1, 0], [1, 1]]}\n", "did you mean polygon"),
        ("lines:\n- {name: a, points: [[0, 0], [1, 0]]}\n- {name: a, points: [[0, 0], [1, 1]]}\n", "names 'a' twice"),
        ("zones:\n- {name: a, polygon: [[0, 0], [1, 1], [0.3, 0.3]]}\n", "the corners of a lie on one line"),
        ("zones:\n- {name: a, polygon: [[0, 0], [0, 0], [0, 0]]}\n", "the corners of a lie on one line"),
        ("lines:\n- {name: a, points: [[0.5, 0], [0.5, 0]]}\n", "the ends of a are one point"),
        ("size: [0, 0]\nlines:\n- {name: a, points: [[0, 0], [1, 0]]}\n", "size.0: must be above 0, got 0"),
        ("lines:\n- {name: '', points: [[0, 0], [1, 0]]}\n", "lines.0.name: must not be empty"),
    ],
)
def test_a_file_that_is_not_right(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "zones.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_zones(path)


def test_only_chosen_classes_stay() -> None:
    ids = np.array([[ROAD, CAR, CAMVID.id_of("Pedestrian"), CAMVID.id_of("Bicyclist"), 255]], np.uint8)
    chosen = ChooseClasses(CAMVID, ["Car", "pedestrian"])(record(ids)).classmap.ids
    assert chosen.tolist() == [[255, CAR, ids[0, 2], ids[0, 3], 255]]


def test_a_class_goes_before_a_group_of_its_name_and_a_misspelt_one_is_named() -> None:
    ids = np.array([[CITYSCAPES.id_of("road"), CITYSCAPES.id_of("car")]], np.uint8)
    assert ChooseClasses(CITYSCAPES, ["road"])(record(ids)).classmap.ids.tolist() == [[0, 255]]
    with pytest.raises(UsageError, match="no class or group 'cra'; did you mean car"):
        ChooseClasses(CITYSCAPES, ["cra"])
