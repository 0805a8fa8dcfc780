"""The flicker rate of real engines on drawn clips whose changes are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from onnx_models import paint, palette_model

from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.errors import SourceError
from drivenet.evaluation.flicker import Flicker, evaluate_flicker
from drivenet.frame import Frame
from drivenet.labels import CAMVID
from drivenet.modelspec import ModelSpec
from drivenet.sources import open_source

SIZE = (128, 192)
SKY, ROAD, CAR = 0, 3, 8


def grain(seed: int = 3) -> np.ndarray:
    """A texture that a flow can hold on to."""
    noise = np.random.default_rng(seed).integers(60, 190, (SIZE[0] // 4, SIZE[1] // 2), np.uint8)
    return np.kron(noise, np.ones((4, 4), np.uint8))


def textured(offset: int) -> np.ndarray:
    grey = grain()[:, offset : offset + SIZE[1]]
    return np.ascontiguousarray(np.stack([grey] * 3, -1))


class Scripted(Engine):
    """Gives the ids that belong to each frame in turn, whatever the picture."""

    def __init__(self, spec: ModelSpec, maps: list[np.ndarray]) -> None:
        self.spec, self.maps = spec, iter(maps)

    def infer(self, image: np.ndarray) -> np.ndarray:
        return next(self.maps)


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    return open_engine(palette_model(tmp_path, size=SIZE, output=(SIZE[0] // 2, SIZE[1] // 2)), "onnxruntime").spec


def ids(x: int, size: tuple[int, int] = (SIZE[0] // 2, SIZE[1] // 2)) -> np.ndarray:
    out = np.full(size, ROAD, np.uint8)
    out[:, :x] = SKY
    return out


def frames(offsets: list[int]) -> list[Frame]:
    return [Frame(textured(o), i, i) for i, o in enumerate(offsets)]


def test_a_still_clip_does_not_flicker(tmp_path: Path) -> None:
    engine = open_engine(palette_model(tmp_path, size=SIZE), "onnxruntime")
    picture = paint(np.kron(ids(20), np.ones((2, 2), np.uint8)))
    seen: list[int] = []
    found = evaluate_flicker(engine, [Frame(picture, i, i) for i in range(4)], progress=seen.append)
    assert (found.rate, found.pairs, seen) == (0.0, 3, [1, 2, 3, 4])
    assert found.covered == pytest.approx(1.0, abs=0.02)


def test_a_class_that_comes_and_goes_is_counted_where_it_does(spec: ModelSpec) -> None:
    wrong = ids(48)
    wrong[16:32, 8:24] = CAR
    found = evaluate_flicker(Scripted(spec, [ids(48), wrong, ids(48)]), frames([8, 8, 8]))
    assert found.changed[SKY] == 16 * 16  # all of it comes
    assert found.changed[CAR] == 14 * 14  # its rim goes to the class beside it, as an edge that moves would
    assert found.tracked[CAR] == 16 * 16
    out = found.to_dict()
    assert out["classes"]["Car"] == round(14 * 14 / 16**2, 5)  # type: ignore[index]
    assert out["classes"]["Road"] == 0.0  # type: ignore[index]
    assert out["classes"]["Tree"] is None  # type: ignore[index]
    assert out["rate"] == round((16**2 + 14**2) / int(found.tracked.sum()), 5)


def test_classes_that_move_with_the_picture_do_not_flicker_and_those_that_stay_behind_do(spec: ModelSpec) -> None:
    offsets = [0, 8, 16]  # 4 pixels of the class map a frame, to the left
    moving = evaluate_flicker(Scripted(spec, [ids(48 - o // 2) for o in offsets]), frames(offsets))
    assert moving.covered > 0.7
    assert moving.rate < 0.002
    staying = evaluate_flicker(Scripted(spec, [ids(48)] * 3), frames(offsets))
    assert staying.rate > 0.02


def test_what_cannot_be_followed_is_not_counted(spec: ModelSpec) -> None:
    cut = [
        Frame(textured(0), 0, 0),
        Frame(np.ascontiguousarray(255 - np.stack([grain(8)[:, : SIZE[1]]] * 3, -1)), 1, 1),
    ]
    other = np.full((SIZE[0] // 2, SIZE[1] // 2), CAR, np.uint8)
    assert evaluate_flicker(Scripted(spec, [ids(48), other]), cut).covered < 0.3


def test_one_frame_is_no_clip(spec: ModelSpec) -> None:
    with pytest.raises(SourceError, match="fewer than two frames"):
        evaluate_flicker(Scripted(spec, [ids(48)]), frames([0]))
    assert math.isnan(Flicker(CAMVID).rate)
    assert Flicker(CAMVID).to_dict()["rate"] is None


def test_a_source_is_read_up_to_the_limit(tmp_path: Path) -> None:
    engine = open_engine(palette_model(tmp_path, size=SIZE), "onnxruntime")
    source = open_source("synthetic://192x128@30", paced=False)
    try:
        found = evaluate_flicker(engine, source, 3, source="drive")
    finally:
        source.close()
    assert (found.pairs, found.to_dict()["source"]) == (2, "drive")
