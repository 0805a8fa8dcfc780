"""Night, tunnel, rain, snow, flare, motion and the own bonnet: the picture changes, the truth is kept or said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch (extra [train]) is not installed")

from tiny_runs import UNVARIED, tiny

from drivenet.errors import UsageError
from drivenet.labels import CAMVID, CITYSCAPES, IGNORE_ID, LabelSet
from drivenet.training import camera
from drivenet.training.assemble import prepare_run
from drivenet.training.augment import Augment
from drivenet.training.conditions import ON_HOST, SCENES, Conditions
from drivenet.training.regions import Regions, walls
from drivenet.training.sets import SetCodes
from drivenet.training.settings import AugmentSettings
from drivenet.training.sources import load

CODES = SetCodes(CITYSCAPES, more=[walls(CITYSCAPES)])
WALLS = len(CITYSCAPES)
SKY, ROAD, CAR, BUILDING, TREE, VERGE, SIGN = (
    CITYSCAPES.id_of(n) for n in ("sky", "road", "car", "building", "vegetation", "terrain", "traffic sign")
)  # fmt: skip
KEPT = (ROAD, CAR, IGNORE_ID)


def street() -> tuple[Any, Any]:
    """A grey day: sky, a building, a tree and a sign above, road with two cars and a verge below, some void."""
    ids = np.full((128, 192), ROAD, np.uint8)
    ids[:60], ids[10:60, :60], ids[20:60, 150:], ids[30:40, 100:106] = SKY, BUILDING, TREE, SIGN
    ids[60:, 170:], ids[124:], ids[70:95, 60:90], ids[65:80, 120:140] = VERGE, IGNORE_ID, CAR, CAR
    shades = {SKY: 220, BUILDING: 120, TREE: 70, SIGN: 180, ROAD: 100, VERGE: 110, CAR: 90}
    image = np.zeros((*ids.shape, 3), np.float32)
    for code, shade in shades.items():
        image[ids == code] = shade
    return image, ids


def conditions(**chances: float) -> Conditions:
    return Conditions(AugmentSettings.model_validate({"crop": (64, 96), **UNVARIED, **chances}), CODES)


def scene(name: str, seed: int) -> tuple[Any, Any]:
    image, ids = street()
    assert conditions(**{name: 1}).scene(image, ids, np.random.default_rng(seed))
    assert np.isfinite(image).all()
    return image, ids


@pytest.mark.parametrize("name", SCENES)
def test_chance_comes_from_the_generator_alone(name: str) -> None:
    np.testing.assert_array_equal(scene(name, 3)[0], scene(name, 3)[0])
    assert np.abs(scene(name, 3)[0] - scene(name, 4)[0]).mean() > 1


@pytest.mark.parametrize("name", ["lit_night", "rain", "snow"])
def test_light_and_weather_keep_the_truth(name: str) -> None:
    for seed in range(4):
        np.testing.assert_array_equal(scene(name, seed)[1], street()[1])


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("code", [ROAD, SKY, CAR, IGNORE_ID])
def test_a_sample_of_one_class_has_weather_of_numbers(name: str, code: int) -> None:
    """A crop may show nothing but road: there is no verge to be far from, no sky to be grey."""
    for seed in range(12):
        image, ids = np.full((64, 96, 3), 100, np.float32), np.full((64, 96), code, np.uint8)
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            conditions(**{name: 1}).scene(image, ids, np.random.default_rng(seed))
        assert np.isfinite(image).all()


def test_at_night_it_is_dark_and_lights_are_on() -> None:
    lit = {BUILDING: 0.0, CAR: 0.0}
    for seed in range(8):
        image, ids = scene("lit_night", seed)
        assert np.median(image[ids == SKY]) < 90
        assert image[ids == TREE].mean() < 0.8 * 70
        for code in lit:
            lit[code] = max(lit[code], float(image[ids == code].max()))
    assert lit[BUILDING] > 150
    assert lit[CAR] > 150


def test_a_tunnel_stands_around_the_road() -> None:
    before, was = street()
    for seed in range(4):
        image, ids = scene("tunnel", seed)
        assert set(np.unique(ids)) == {*KEPT, WALLS}
        np.testing.assert_array_equal(ids[np.isin(was, KEPT)], was[np.isin(was, KEPT)])
        assert (ids[~np.isin(was, KEPT)] == WALLS).all()
        assert image[was == ROAD].mean() < before[was == ROAD].mean()


def test_without_a_road_there_is_no_tunnel() -> None:
    image, ids = street()
    ids[ids == ROAD] = SKY
    was = image.copy()
    conditions(tunnel=1).scene(image, ids, np.random.default_rng(0))
    np.testing.assert_array_equal(image, was)
    assert WALLS not in ids


def test_snow_is_white_where_nobody_drives_and_a_wet_road_is_darker() -> None:
    before, _ = street()
    for seed in range(4):
        snowy, ids = scene("snow", seed)
        assert snowy[ids == VERGE].mean() > 1.4 * before[ids == VERGE].mean()
        assert np.abs(snowy[100:110, 80:90] - before[100:110, 80:90]).mean() < 60
        rainy, _ = scene("rain", seed)
        assert np.abs(rainy[ids == ROAD] - before[ids == ROAD]).mean() > 3


def test_the_own_bonnet_is_ignored_and_nothing_else() -> None:
    for seed in range(6):
        image, ids = street()
        was, truth = image.copy(), ids.copy()
        camera.bonnet(image, ids, np.random.default_rng(seed))
        changed = ids != truth
        assert (ids[changed] == IGNORE_ID).all()
        assert not changed[: int(0.75 * len(ids))].any()
        np.testing.assert_allclose(image[:90], was[:90], atol=1)
    assert (np.diff((ids == IGNORE_ID)[:, 96].astype(int)) >= 0).all()


def test_motion_blurs_and_a_low_sun_brightens() -> None:
    image, _ = street()
    noisy = image + np.random.default_rng(0).normal(0, 30, image.shape).astype(np.float32)
    moved, sunny = noisy.copy(), image.copy()
    camera.motion_blur(moved, np.random.default_rng(0))
    assert np.abs(np.diff(moved, axis=1)).mean() < 0.8 * np.abs(np.diff(noisy, axis=1)).mean()
    assert moved.mean() == pytest.approx(noisy.mean(), rel=0.05)
    camera.flare(sunny, np.random.default_rng(0))
    assert sunny.max() > 250


def test_what_is_off_draws_nothing() -> None:
    rng, same = np.random.default_rng(0), np.random.default_rng(0)
    image, ids = street()
    was = image.copy()
    off = conditions()
    assert not off.scene(image, ids, rng)
    off.camera(image, ids, rng)
    np.testing.assert_array_equal(image, was)
    assert rng.random() == same.random()


@pytest.mark.parametrize("name", ON_HOST)
def test_each_reaches_the_samples_of_a_run(name: str) -> None:
    image, ids = street()
    settings = {"crop": (128, 192), **UNVARIED, "scale": (1, 1), "aspect": (1, 1)}
    pictures = [
        Augment(AugmentSettings.model_validate({**settings, **chances}), CODES)(
            image.astype(np.uint8), ids, (128, 192), np.random.default_rng(0), drawn
        )[0]
        for chances, drawn in (({}, False), ({name: 1}, False), ({name: 1}, True))
    ]
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[0] != pictures[2]).any() == (name not in SCENES)  # what is drawn has its own light


def test_walls_of_tunnels_are_a_set_of_the_run() -> None:
    settings = tiny(labels="cityscapes", augment={"crop": [64, 96], "tunnel": 0.1})
    assert load(settings).codes.sets[-1] == frozenset({CITYSCAPES.id_of("wall"), BUILDING})
    assert walls(CAMVID) == frozenset({CAMVID.id_of("Building")})
    bare = LabelSet("bare", ("road",), ((1, 2, 3),), {"road": "road"})
    assert walls(bare) == frozenset()
    assert Regions(SetCodes(bare)).horizon(np.zeros((8, 8), np.uint8)) == 0


def test_what_the_device_does_not_have_is_refused_there(tmp_path: Path) -> None:
    settings = tiny(augment={"crop": [64, 96], "rain": 0.1, "flare": 0.1}, device_augment=True)
    with pytest.raises(UsageError, match="device_augment with rain, flare; expected what the device can do; set it to"):
        prepare_run(settings, None, tmp_path, "cpu")
