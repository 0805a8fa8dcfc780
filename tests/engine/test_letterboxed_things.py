"""Single things of a letterboxed picture: the bars are cut off the maps as off the ids, wherever things are parted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_models import SIZE, paint, sure_things_model

from drivenet.benchmark.passes import infer_pass
from drivenet.benchmark.usage import Usage
from drivenet.data.base import Dataset, Sample
from drivenet.engine import open_engine
from drivenet.engine.base import Engine
from drivenet.engine.parity import compare
from drivenet.engine.things import infer_instances
from drivenet.errors import EngineError
from drivenet.evaluation import evaluate
from drivenet.evaluation.agreement import compare_engines
from drivenet.frame import Frame
from drivenet.labels import CAMVID
from drivenet.prepare import prepare_for
from drivenet.segmenter import Segmenter

ROAD, CAR = CAMVID.id_of("Road"), CAMVID.id_of("Car")
#: Half as high as the input: bars of a quarter are above and below it.
WIDE = (SIZE[0] // 2, SIZE[1])


def truth() -> tuple[np.ndarray, np.ndarray]:
    """Class ids and instances of a wide picture: a car, and a flat one right above it."""
    ids, instances = np.full(WIDE, ROAD, np.uint8), np.zeros(WIDE, np.uint16)
    instances[4:, 8:24], instances[:4, 8:40] = 1, 2
    ids[instances > 0] = CAR
    return ids, instances


def maps() -> tuple[np.ndarray, np.ndarray]:
    """A centre for each of the cars, and offsets that lead to it; all between the bars."""
    centres, offsets = np.zeros((16, 24), np.uint8), np.full((2, 16, 24), 128, np.uint8)
    rows, columns = np.mgrid[:16, :24]
    for first, end, row, column in ((4, 6, 5, 12), (6, 12, 9, 8)):
        centres[row, column] = 200
        here = np.s_[first:end]
        offsets[0, here], offsets[1, here] = (128 + row - rows)[here], (128 + column - columns)[here]
    return centres, offsets


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return sure_things_model(tmp_path, *maps(), letterbox=114)


@pytest.fixture
def engine(model: Path) -> Engine:
    return open_engine(model, "onnxruntime")


class Wide(Dataset):
    name, split, labels = "wide", "val", CAMVID

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        ids, instances = truth()
        return Sample(paint(ids), ids, "wide", instances)


def test_a_run_finds_both(model: Path) -> None:
    with Segmenter(model, "onnxruntime") as segmenter:
        scene = segmenter.segment(paint(truth()[0])).scene
    assert scene.instances is not None
    np.testing.assert_array_equal(scene.instances, truth()[1][::2, ::2])
    assert [thing.box for thing in scene.things] == [(8, 4, 16, 12), (8, 0, 32, 4)]


def test_an_evaluation_finds_both(engine: Engine) -> None:
    panoptic = evaluate(engine, Wide()).to_dict()["panoptic"]
    assert panoptic["things"]["pq"] == 1.0  # type: ignore[index]


def test_a_benchmark_finds_both(engine: Engine) -> None:
    (run,) = infer_pass([engine], [paint(truth()[0])], [Usage()], 0)
    found = run.found(0)
    assert found.grouped is not None
    np.testing.assert_array_equal(found.ids, truth()[0][::2, ::2])
    np.testing.assert_array_equal(found.grouped.instances, truth()[1][::2, ::2])


def test_what_two_engines_are_compared_on_has_no_bars(engine: Engine, tmp_path: Path) -> None:
    picture = paint(truth()[0])
    ids, instances = infer_instances(engine, prepare_for(picture, engine.spec), WIDE)
    np.testing.assert_array_equal(ids, truth()[0][::2, ::2])
    np.testing.assert_array_equal(instances, truth()[1][::2, ::2])
    (same,) = compare_engines(engine, [engine], [Frame(picture, 0, 0)])
    assert (same.things.counted, same.things.share, same.share) == (2, 1.0, 1.0)
    assert compare(engine, engine, [picture], "wide").worst_class in ("Road", "Car")


def test_engines_that_take_a_picture_differently_are_not_compared(engine: Engine, tmp_path: Path) -> None:
    other = open_engine(sure_things_model(tmp_path, *maps(), name="stretched"), "onnxruntime")
    with pytest.raises(EngineError, match=r"parted\.onnx is not the same model as .*stretched\.onnx"):
        compare_engines(other, [engine], [Frame(paint(truth()[0]), 0, 0)])
    with pytest.raises(EngineError, match=r"parted\.onnx with letterbox 114; expected None as .*stretched\.onnx"):
        compare(other, engine, [paint(truth()[0])], "wide")
