"""An engine's confidence: the same on every backend, none where the model has none, and none that cannot be."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import SIZE, palette_graph, palette_model, palette_spec, sure_model, sure_of, things_model, write_onnx

from drivenet.engine import open_engine
from drivenet.engine.openvino.engine import OpenVinoEngine
from drivenet.engine.things import infer_all
from drivenet.errors import EngineError, ModelSpecError
from drivenet.export.confidence import add_confidence
from drivenet.frame import Frame
from drivenet.latency import Timeline
from drivenet.record import THING_MAPS, Record
from drivenet.stages import default_stages, run_stages
from drivenet.stages.blur import Blur

BACKENDS = ("onnxruntime", "openvino")
NOISE = np.random.default_rng(3).integers(0, 256, (*SIZE, 3), np.uint8)


def test_it_is_the_probability_of_the_class_in_255ths(tmp_path: Path, backend: str) -> None:
    engine = open_engine(sure_model(tmp_path), backend)
    ids, confidence = engine.infer_confident(NOISE)
    assert confidence is not None
    assert (confidence.dtype, confidence.shape) == (np.uint8, engine.spec.output)
    expected = 255 * sure_of(NOISE)
    assert np.abs(confidence - expected).max() < 0.6  # half of it is the rounding
    assert np.ptp(confidence) > 100
    np.testing.assert_array_equal(ids, engine.infer(NOISE))


def test_both_belong_to_the_caller(tmp_path: Path, backend: str) -> None:
    engine = open_engine(sure_model(tmp_path), backend)
    first = engine.infer_confident(NOISE)
    kept = [part.copy() for part in first if part is not None]
    engine.infer_confident(255 - NOISE)
    engine.close()
    for part, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(part, copy)
    with pytest.raises(EngineError, match="is closed"):
        engine.infer_confident(NOISE)


def test_a_wrong_picture_is_refused(tmp_path: Path, backend: str) -> None:
    with pytest.raises(EngineError, match="was given uint8"):
        open_engine(sure_model(tmp_path), backend).infer_confident(NOISE[1:])


@pytest.mark.parametrize("name", [*BACKENDS, "null"])
def test_a_model_without_it_gives_the_ids_and_none(tmp_path: Path, name: str) -> None:
    if name == "openvino":
        pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    engine = open_engine(palette_model(tmp_path), name)
    ids, confidence = engine.infer_confident(NOISE)
    assert confidence is None
    np.testing.assert_array_equal(ids, engine.infer(NOISE))
    assert "confidence" not in engine.spec.to_json()


def test_the_null_engine_has_none_of_a_model_that_has(tmp_path: Path) -> None:
    assert open_engine(sure_model(tmp_path), "null").infer_confident(NOISE)[1] is None


def test_openvino_computes_it_only_for_who_asks(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    engine = OpenVinoEngine(sure_model(tmp_path))
    engine.infer(NOISE)
    assert "confidence/" not in _layers(engine._request.request)
    assert engine._confident_request is None
    engine.infer_confident(NOISE)
    assert "confidence/" in _layers(engine._confident_request.request)


def _layers(request: Any) -> str:
    """The names of all layers that a request computes, with those that were fused into them."""
    infos = [dict(op.get_rt_info().items()) for op in request.get_compiled_model().get_runtime_model().get_ops()]
    return " ".join(str(getattr(i["originalLayersNames"], "value", i["originalLayersNames"])) for i in infos)


def test_spec_and_graph_must_agree_about_it(tmp_path: Path) -> None:
    said = write_onnx(tmp_path / "said.onnx", palette_graph(), palette_spec(confidence=True))
    with pytest.raises(ModelSpecError, match=r"output of .* is classes .*; expected classes .*, confidence tensor"):
        open_engine(said, "onnxruntime")
    graph = onnx.load(sure_model(tmp_path)).graph
    unsaid = write_onnx(tmp_path / "unsaid.onnx", graph, palette_spec())
    with pytest.raises(ModelSpecError, match=r"output of .* is classes .*, confidence tensor.*; expected classes"):
        open_engine(unsaid, "onnxruntime")


def test_a_confidence_that_no_softmax_gives_is_refused(tmp_path: Path, backend: str) -> None:
    """Of eleven probabilities the highest is more than one eleventh; zeros are a failure, not doubt."""
    graph = palette_graph()
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    graph.initializer.append(zero)
    graph.node.append(helper.make_node("Mul", ["best_float", "zero"], ["nothing"]))
    graph.node.append(helper.make_node("Cast", ["nothing"], ["confidence"], to=TensorProto.UINT8))
    graph.output.append(helper.make_tensor_value_info("confidence", TensorProto.UINT8, [1, SIZE[0] // 2, SIZE[1] // 2]))
    engine = open_engine(write_onnx(tmp_path / "zero.onnx", graph, palette_spec(confidence=True)), backend)
    with pytest.raises(EngineError, match=r"confidence 0/255; expected at least 21/255 with 11 classes"):
        engine.infer_confident(NOISE)


def test_a_model_with_things_gives_both(tmp_path: Path, backend: str) -> None:
    """To whoever asks for all, and to a run with a stage that needs confidence, which parted no things then."""
    sure, plain = tmp_path / "sure.onnx", things_model(tmp_path)
    assert add_confidence(plain, sure).outputs()[1][0] == "confidence"
    with closing(open_engine(sure, backend)) as engine, closing(open_engine(plain, backend)) as other:
        ids, confidence, maps = infer_all(engine, NOISE)
        wanted, none, parts = infer_all(other, NOISE)
        record = Record(Frame(NOISE, 0, 0), engine.spec.label_set, Timeline(0))
        blur = [Blur(("vehicle",), engine.spec.label_set)]
        seen, unsure = (run_stages(record, default_stages(one, on_scene=blur)) for one in (engine, other))
    assert confidence is not None
    assert (confidence.shape, none) == (ids.shape, None)
    np.testing.assert_array_equal(ids, wanted)
    for found in (maps, seen.layers[THING_MAPS][0], unsure.layers[THING_MAPS][0]):
        np.testing.assert_array_equal(found.centres, parts.centres)
        np.testing.assert_array_equal(found.offsets, parts.offsets)
    np.testing.assert_array_equal(seen.confidence, confidence)
    assert unsure.confidence is None
