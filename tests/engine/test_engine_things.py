"""An engine's maps of things: the same on every backend, fresh, and as its spec says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import SIZE, palette_graph, palette_model, palette_spec, things_model, things_spec, write_onnx

from drivenet.engine import open_engine
from drivenet.errors import EngineError, ModelSpecError

BACKENDS = ("onnxruntime", "openvino")
NOISE = np.random.default_rng(3).integers(0, 256, (*SIZE, 3), np.uint8)


def test_they_come_with_the_ids_and_belong_to_the_caller(tmp_path: Path, backend: str) -> None:
    engine = open_engine(things_model(tmp_path), backend)
    ids, maps = engine.infer_things(NOISE)
    assert maps is not None
    np.testing.assert_array_equal(ids, engine.infer(NOISE))
    np.testing.assert_array_equal(maps.centres, NOISE[::2, ::2, 0])
    np.testing.assert_array_equal(maps.offsets, NOISE[::2, ::2, 1:].transpose(2, 0, 1))
    kept = maps.offsets.copy()
    engine.infer_things(255 - NOISE)
    engine.close()
    np.testing.assert_array_equal(maps.offsets, kept)
    with pytest.raises(EngineError, match="is closed"):
        engine.infer_things(NOISE)


@pytest.mark.parametrize("name", [*BACKENDS, "null"])
def test_a_model_without_them_gives_the_ids_and_none(tmp_path: Path, name: str) -> None:
    if name == "openvino":
        pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    engine = open_engine(palette_model(tmp_path), name)
    ids, maps = engine.infer_things(NOISE)
    assert maps is None
    np.testing.assert_array_equal(ids, engine.infer(NOISE))
    assert engine.describe()["things"] == "components"


def test_spec_and_graph_must_agree_about_them(tmp_path: Path, backend: str) -> None:
    said = write_onnx(tmp_path / "said.onnx", palette_graph(), palette_spec(things=things_spec()))
    with pytest.raises(ModelSpecError, match=r"output of .* is classes .*; expected classes .*, centres .*, offsets"):
        open_engine(said, backend)
    graph = onnx.load(things_model(tmp_path)).graph
    unsaid = write_onnx(tmp_path / "unsaid.onnx", graph, palette_spec())
    with pytest.raises(ModelSpecError, match=r"offsets .*; expected classes tensor\(uint8\) \[1, 16, 24\] as in"):
        open_engine(unsaid, backend)
    other = write_onnx(tmp_path / "other.onnx", graph, palette_spec(things=things_spec(cells=(8, 24))))
    with pytest.raises(ModelSpecError, match=r"offsets tensor\(uint8\) \[1, 2, 16, 24\]; expected .* \[1, 2, 8, 24\]"):
        open_engine(other, backend)


def test_maps_of_another_range_are_refused(tmp_path: Path, backend: str) -> None:
    """Signed offsets would be read as large ones."""
    graph = onnx.load(things_model(tmp_path)).graph
    for node in graph.node:
        if "offsets" in node.output:
            node.attribute[0].i = TensorProto.INT8
    del graph.output[-1]
    graph.output.append(helper.make_tensor_value_info("offsets", TensorProto.INT8, [1, 2, SIZE[0] // 2, SIZE[1] // 2]))
    signed = write_onnx(tmp_path / "signed.onnx", graph, palette_spec(things=things_spec()))
    with pytest.raises(ModelSpecError, match=r"offsets tensor\(int8\) .*; expected .*offsets tensor\(uint8\)"):
        open_engine(signed, backend)
