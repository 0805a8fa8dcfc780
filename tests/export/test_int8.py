"""INT8: symmetric QDQ that every backend reads, close to its float model, with a spec that says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
onnx = pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

import onnxruntime as ort  # noqa: E402
from int8_parts import DRIVE, PICTURES, SIZE  # noqa: E402
from onnx import numpy_helper  # noqa: E402

from drivenet.build.plan import find_reference  # noqa: E402
from drivenet.build.request import BuildRequest  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.export.int8 import quantise  # noqa: E402
from drivenet.export.int8_activations import round_after_activations, unsign  # noqa: E402
from drivenet.export.onnx import export_onnx  # noqa: E402
from drivenet.export.trace import OPSET  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.metrics import agreement  # noqa: E402
from drivenet.models import create  # noqa: E402
from drivenet.modelspec import METADATA_KEY, LabelsSpec, ModelSpec  # noqa: E402
from drivenet.onnx_graph import Graph  # noqa: E402


def test_it_agrees_with_its_float_model(source: Path, quantised: Path) -> None:
    one, two = open_engine(source), open_engine(quantised)
    frames = [DRIVE.render(31 + 60 * i)[0] for i in range(40)]
    shares = [agreement(one.infer(f).copy(), two.infer(f).copy()) for f in frames]
    assert np.mean(shares) > 0.9


def test_the_spec_says_int8(source: Path, quantised: Path) -> None:
    model = onnx.load(quantised)
    inside = ModelSpec.from_json(next(p.value for p in model.metadata_props if p.key == METADATA_KEY), "inside")
    assert inside == ModelSpec.from_json(quantised.with_suffix(".json").read_text(), "beside")
    assert (inside.precision, inside.name, inside.val_miou) == ("int8", "tiny-int8", None)
    assert inside.labels.label_set() == CAMVID


def test_a_build_finds_the_float_model_of_the_same_checkpoint(quantised: Path, tmp_path: Path) -> None:
    network = create("bisenetv2", len(CAMVID), {"width": 0.25, "semantic": 0.5, "head": 16}).eval()
    spec = {"name": "a", "architecture": "bisenetv2", "labels": LabelsSpec.of(CAMVID), "source_sha256": "ab" * 32}
    export_onnx(network, spec, tmp_path / "a.onnx", SIZE)
    int8 = quantise(tmp_path / "a.onnx", tmp_path / "a-int8.onnx", PICTURES)
    assert int8.source_sha256 == "ab" * 32
    request = BuildRequest(tmp_path / "a-int8.onnx", "openvino")
    assert find_reference(request, int8) == tmp_path / "a.onnx"


def test_it_asks_for_nothing_but_standard_operators(source: Path, quantised: Path) -> None:
    model = onnx.load(quantised)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert model.ir_version == onnx.load(source).ir_version


def test_zero_points_are_0_and_what_is_never_negative_is_unsigned(quantised: Path) -> None:
    """A scale a channel for weights, which are int8; biases float."""
    graph = onnx.load(quantised).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    linear = [n for n in graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert linear
    assert not any(constants[node.input[2]].any() for node in linear)
    rounding = [n for n in linear if n.op_type == "QuantizeLinear"]
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    unsigned = {n.input[0] for n in rounding if constants[n.input[2]].dtype == np.uint8}
    values = values_of(quantised, [n.input[0] for n in rounding])
    assert all(values[name].min() >= 0 for name in unsigned)
    assert unsigned >= {n.input[0] for n in rounding if made_by[n.input[0]] in ("Relu", "Clip")} != set()
    assert any(values[name].min() < 0 for name in {n.input[0] for n in rounding} - unsigned)
    weights = [n for n in linear if n.op_type == "DequantizeLinear" and n.input[0] in constants]
    assert weights
    for node in weights:
        assert constants[node.input[1]].shape == constants[node.input[0]].shape[:1]


def test_nothing_is_rounded_between_a_layer_and_its_activation(quantised: Path) -> None:
    graph = onnx.load(quantised).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    pooled = {node.input[0] for node in graph.node if node.op_type == "AveragePool"}
    activations = [node for node in graph.node if node.op_type in ("Relu", "Clip") and node.output[0] not in pooled]
    assert activations
    assert {made_by[node.input[0]] for node in activations} <= {"Conv", "Add"}


def values_of(file: Path, tensors: list[str]) -> dict[str, np.ndarray]:
    """What some tensors of a model are over the pictures."""
    model = onnx.load(file)
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in tensors)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = [session.run(tensors, {"frame": picture[None]}) for picture in PICTURES]
    return {name: np.stack(values) for name, values in zip(tensors, zip(*found, strict=True), strict=True)}


def test_the_range_of_an_activation_whose_readers_are_float_is_its_own(tmp_path: Path) -> None:
    """A clip before nothing that is rounded: its result is, instead of what it reads, and up to its upper end alone."""
    nodes = [
        onnx.helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["xq"]),
        onnx.helper.make_node("DequantizeLinear", ["xq", "scale", "zero"], ["xd"]),
        onnx.helper.make_node("Clip", ["xd", "low", "high"], ["y"]),
        onnx.helper.make_node("Sigmoid", ["y"], ["z"]),
    ]
    x, z = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [5]) for n in "xz")
    constants = {"scale": np.float32(10 / 127), "zero": np.int8(0), "low": np.float32(0), "high": np.float32(6)}
    graph = onnx.helper.make_graph(
        nodes, "clip", [x], [z], [numpy_helper.from_array(v, n) for n, v in constants.items()]
    )
    changed = Graph(graph)
    round_after_activations(changed)
    unsign(changed)
    changed.write()
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    (rounding,) = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    assert rounding.input[0] == "y"
    assert stored[rounding.input[2]].dtype == np.uint8
    assert float(stored[rounding.input[1]]) == pytest.approx(6 / 255)
    values = np.array([-3, 0, 1.5, 5.99, 80], np.float32)
    found = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": values})
    np.testing.assert_allclose(found[0], 1 / (1 + np.exp(-np.clip(values, 0, 6))), atol=6 / 255)


EXACT = 8 / 127


def clipped(ends: list[str], **constants: float) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Rounding, a clip between ``ends`` and a sigmoid; before and after the rounding was moved."""
    nodes = [
        onnx.helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["xq"]),
        onnx.helper.make_node("DequantizeLinear", ["xq", "scale", "zero"], ["xd"]),
        onnx.helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        onnx.helper.make_node("Clip", ["xd", *ends], ["y"]),
        onnx.helper.make_node("Sigmoid", ["y"], ["z"]),
    ]
    x, z = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [5]) for n in "xz")
    stored = {"scale": np.float32(EXACT), "zero": np.int8(0)} | {n: np.float32(v) for n, v in constants.items()}
    tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in stored.items()]
    graph = onnx.helper.make_graph(nodes, "clip", [x], [z], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8)
    moved = onnx.ModelProto.FromString(model.SerializeToString())
    graph = Graph(moved.graph)
    round_after_activations(graph)
    unsign(graph)
    graph.write()
    onnx.checker.check_model(moved, full_check=True)
    return model, moved


@pytest.mark.parametrize(
    ("ends", "constants"),
    [
        (["low", "high"], {"low": -6, "high": 0.5}),
        (["low", "high"], {"low": -6, "high": 0}),
        (["low", "high"], {"low": -1, "high": 1}),
        (["", "high"], {"high": 2}),
        (["low", ""], {"low": 0}),
        (["low", "most"], {"low": 0}),
    ],
)
def test_the_range_of_a_clip_holds_both_its_ends(ends: list[str], constants: dict[str, float]) -> None:
    """Also below 0, and where an end is missing or computed."""
    values = np.array([-5, -0.7, 0.3, 1.5, 7], np.float32)
    before, after = (
        ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": values})[0]
        for model in clipped(ends, **constants)
    )
    np.testing.assert_allclose(after, before, atol=EXACT / 4)


def test_what_the_graph_gives_stays_rounded_where_it_is() -> None:
    model, _ = clipped(["low", "high"], low=0, high=6)
    model.graph.output.append(onnx.helper.make_tensor_value_info("xd", onnx.TensorProto.FLOAT, [5]))
    before = model.SerializeToString()
    graph = Graph(model.graph)
    round_after_activations(graph)
    graph.write()
    assert model.SerializeToString() == before


def test_no_constants_are_left_that_nothing_reads(quantised: Path) -> None:
    graph = onnx.load(quantised).graph
    read = {name for node in graph.node for name in node.input}
    assert [tensor.name for tensor in graph.initializer if tensor.name not in read] == []


def test_onnx_runtime_averages_floats(quantised: Path, tmp_path: Path) -> None:
    """Its integer average pool takes many times as long; the others read the pool as before."""
    options = ort.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "optimised.onnx"), 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(quantised, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert "QLinearConv" in kinds
    assert [kind for kind in kinds if "AveragePool" in kind and kind != "GlobalAveragePool"] == ["AveragePool"]


def test_outliers_of_activations_are_clipped(source: Path, quantised: Path) -> None:
    """The ranges of some tensors leave values out that the float model has, and none leaves out many."""
    model, whole = onnx.load(quantised), onnx.load(source)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    known = {name for node in whole.graph.node for name in node.output}

    def steps(node: onnx.NodeProto) -> int:
        return int(np.iinfo(constants[node.input[2]].dtype).max)

    linear = [n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] in known]
    del whole.graph.output[:]
    whole.graph.output.extend(
        onnx.helper.make_tensor_value_info(n.input[0], onnx.TensorProto.FLOAT, None) for n in linear
    )
    session = ort.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    found = [session.run(None, {"frame": picture[None]}) for picture in PICTURES]
    beyond = [
        np.mean(
            [(np.abs(values[i]) > 1.001 * steps(node) * float(constants[node.input[1]])).mean() for values in found]
        )
        for i, node in enumerate(linear)
    ]
    assert 0 < max(beyond) < 0.0005
