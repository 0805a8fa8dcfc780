"""Engines held against each other frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from onnx_models import palette_graph, palette_model, palette_spec, write_onnx

from drivenet.engine import open_engine
from drivenet.errors import EngineError, SourceError
from drivenet.evaluation.agreement import compare_engines
from drivenet.frame import Frame
from drivenet.labels import CAMVID, CITYSCAPES
from drivenet.sources import open_source


def frames(count: int = 5) -> Iterator[Frame]:
    source = open_source(f"synthetic://96x64@30?frames={count}", paced=False)
    try:
        yield from source
    finally:
        source.close()


def test_an_engine_agrees_with_itself_and_less_with_another(tmp_path: Path) -> None:
    shifted = (CAMVID.palette[1], CAMVID.palette[0], *CAMVID.palette[2:])
    one = palette_model(tmp_path, "one")
    two = write_onnx(tmp_path / "two.onnx", palette_graph(shifted), palette_spec(name="two"))
    engines = [open_engine(file, "onnxruntime") for file in (one, one, two)]
    done: list[int] = []
    same, other = compare_engines(engines[0], engines[1:], frames(), done.append)
    assert done == [1, 2, 3, 4, 5]
    assert same.to_dict() == {
        "engine": engines[1].describe(), "frames": 5, "agreement": 1.0, "worst_frame": 0, "worst": 1.0, "passed": True,
    }  # fmt: skip
    found = other.to_dict()
    assert found["passed"] is False
    assert min(other.shares) == other.shares[found["worst_frame"]] < 0.999  # type: ignore[call-overload]


def test_other_models_and_empty_sources_are_refused(tmp_path: Path) -> None:
    one, two = palette_model(tmp_path, "one"), palette_model(tmp_path, "two", CITYSCAPES)
    engines = [open_engine(file, "onnxruntime") for file in (one, two)]
    with pytest.raises(EngineError, match="not the same model"):
        compare_engines(engines[0], engines[1:], frames())
    with pytest.raises(SourceError, match="without frames"):
        compare_engines(engines[0], engines[:1], [])
