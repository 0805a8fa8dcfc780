"""The null engine: the same bands for every picture, and the same manners as a real engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_models import SIZE, palette_model, palette_spec

from drivenet.engine import open_engine
from drivenet.errors import EngineError, UsageError
from drivenet.labels import CITYSCAPES


def test_gives_one_band_a_class_whatever_it_sees() -> None:
    engine = open_engine(None, "null")
    h, w = engine.spec.input
    ids = engine.infer(np.zeros((h, w, 3), np.uint8))
    assert ids.shape == engine.spec.output == (144, 256)
    assert ids.dtype == np.uint8
    assert list(dict.fromkeys(ids[:, 0].tolist())) == list(range(11))
    assert (ids == ids[:, :1]).all()
    assert np.bincount(ids[:, 0]).min() >= 144 // 11
    np.testing.assert_array_equal(engine.infer(np.full((h, w, 3), 200, np.uint8)), ids)


def test_takes_sizes_and_labels_from_a_file(tmp_path: Path) -> None:
    engine = open_engine(palette_model(tmp_path, labels=CITYSCAPES, size=(64, 32)), "null")
    assert engine.spec == palette_spec(CITYSCAPES, (64, 32))
    assert engine.infer(np.zeros((64, 32, 3), np.uint8)).max() == 18


def test_an_output_belongs_to_the_caller() -> None:
    engine = open_engine(None, "null")
    image = np.zeros((*engine.spec.input, 3), np.uint8)
    engine.infer(image)[:] = 200
    assert engine.infer(image).max() == 10


def test_refuses_what_a_real_engine_refuses() -> None:
    engine = open_engine(None, "null")
    with pytest.raises(EngineError, match="prepare"):
        engine.infer(np.zeros((*SIZE, 3), np.uint8))
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(np.zeros((*engine.spec.input, 3), np.uint8))
    with pytest.raises(UsageError, match="precision int8"):
        open_engine(None, "null", precision="int8")
