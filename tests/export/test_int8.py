"""INT8: symmetric QDQ that every backend reads, close to its float model, with a spec that says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
onnx = pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

import onnxruntime as ort  # noqa: E402
from onnx import numpy_helper  # noqa: E402

from drivenet.build.openvino import quantise_repeated_once  # noqa: E402
from drivenet.build.plan import find_reference  # noqa: E402
from drivenet.build.request import BuildRequest  # noqa: E402
from drivenet.convert.onnx_model import import_onnx  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import ModelSpecError, SinkError, UsageError  # noqa: E402
from drivenet.export.int8 import Calibrated, quantise  # noqa: E402
from drivenet.export.int8_activations import round_after_activations, unsign  # noqa: E402
from drivenet.export.int8_nodes import PARTS, float_nodes  # noqa: E402
from drivenet.export.onnx import export_onnx  # noqa: E402
from drivenet.export.trace import OPSET  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.metrics import agreement  # noqa: E402
from drivenet.models import create  # noqa: E402
from drivenet.modelspec import METADATA_KEY, LabelsSpec, ModelSpec  # noqa: E402
from drivenet.onnx_graph import Graph  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402
from tests.convert.foreign_models import Net  # noqa: E402

SIZE = (64, 96)
DRIVE = SyntheticDrive(96, 64, seed=5)
PICTURES = [DRIVE.render(60 * i)[0] for i in range(6)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model with random weights."""
    torch.manual_seed(0)
    network = create("bisenetv2", len(CAMVID), {"width": 0.25, "semantic": 0.5, "head": 16}).eval()
    file = tmp_path_factory.mktemp("float") / "tiny.onnx"
    spec = {"name": "tiny", "architecture": "bisenetv2", "labels": LabelsSpec.of(CAMVID), "val_miou": 0.5}
    export_onnx(network, spec, file, SIZE)
    return file


@pytest.fixture(scope="module")
def quantised(source: Path) -> Path:
    file = source.with_name("tiny-int8.onnx")
    quantise(source, file, PICTURES)
    return file


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
"""Steps of what :func:`clipped` rounds."""


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


def test_biases_take_back_what_rounded_weights_shift(source: Path, tmp_path: Path) -> None:
    """The means of what int8 convolutions give are nearer to those of the float model."""
    network = Calibrated(source, PICTURES)
    network.write(tmp_path / "corrected.onnx")
    network._means = {name: 0 * means for name, means in network._means.items()}
    network.write(tmp_path / "plain.onnx")
    convs = [n.output[0] for n in onnx.load(source).graph.node if n.op_type == "Conv"]
    wanted, corrected, plain = (
        means_of(file, convs) for file in (source, tmp_path / "corrected.onnx", tmp_path / "plain.onnx")
    )
    off = [[float(np.abs(w - f).mean()) for w, f in zip(wanted, found, strict=True)] for found in (corrected, plain)]
    assert sum(off[0]) < 0.8 * sum(off[1])


def means_of(file: Path, tensors: list[str]) -> list[np.ndarray]:
    """Of every channel of these tensors, (C,) each, over the pictures."""
    model = onnx.load(file)
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in tensors)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = [session.run(None, {"frame": picture[None]}) for picture in PICTURES]
    return [np.mean([values[i].mean((0, 2, 3)) for values in found], 0) for i in range(len(tensors))]


def test_any_graph_can_be_quantised(source: Path, tmp_path: Path) -> None:
    """Also one whose nodes have no names, and where a bias is computed, as other programs write them."""
    model = onnx.load(source)
    conv = [node for node in model.graph.node if node.op_type == "Conv" and len(node.input) > 2][8]
    for node in model.graph.node:
        node.ClearField("name")
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), "nothing"))
    nodes = [
        onnx.helper.make_node("Cast", ["frame"], ["pixels"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ReduceMax", ["pixels"], ["most"], keepdims=0),
        onnx.helper.make_node("Mul", ["most", "nothing"], ["none"]),
        onnx.helper.make_node("Add", [conv.input[2], "none"], ["computed"]),
    ]
    conv.input[2] = "computed"
    for place, node in enumerate(nodes):
        model.graph.node.insert(place, node)
    onnx.save(model, tmp_path / "foreign.onnx")
    quantise(tmp_path / "foreign.onnx", tmp_path / "foreign-int8.onnx", PICTURES)
    rounded = [
        node for node in onnx.load(tmp_path / "foreign-int8.onnx").graph.node if node.op_type == "QuantizeLinear"
    ]
    assert len(rounded) > 10
    one, two = open_engine(source, "onnxruntime"), open_engine(tmp_path / "foreign-int8.onnx", "onnxruntime")
    assert np.mean([agreement(one.infer(picture), two.infer(picture)) for picture in PICTURES]) > 0.9


def test_its_ends_are_those_of_its_float_model(source: Path, quantised: Path) -> None:
    first, last = ([n.op_type for n in onnx.load(file).graph.node if n.op_type in ("Cast", "ArgMax")]
                   for file in (source, quantised))  # fmt: skip
    assert first == last == ["Cast", "ArgMax", "Cast", "Cast"]


def test_kept_parts_are_found(source: Path) -> None:
    graph = onnx.load(source).graph
    always = float_nodes(graph, ())
    kinds = {n.name: n.op_type for n in graph.node}
    assert not {n for n in always if kinds[n] == "Conv"}
    kept = {p: {n for n in float_nodes(graph, (p,)) - always if kinds[n] == "Conv"} for p in PARTS}
    assert {p: len(kept[p]) for p in ("stem", "classifier", "gates")} == {"stem": 2, "classifier": 1, "gates": 2}
    shapes = {t.name: t.dims for t in graph.initializer}
    weights = {n.name: shapes[n.input[1]] for n in graph.node if n.op_type == "Conv"}
    narrow = {name for name, shape in weights.items() if shape[0] <= 16}
    assert narrow < kept["narrow"]
    between = kept["narrow"] - narrow  # depth-wise ones whose neighbours are all narrow
    assert all(weights[name][1] == 1 for name in between)


def test_between_floats_nothing_becomes_int8(source: Path) -> None:
    """The semantic stem's pool and concatenation lie between narrow convolutions, the aggregation's pool does not."""
    graph = onnx.load(source).graph
    passing = {n.name for n in graph.node if n.op_type in ("Concat", "MaxPool", "AveragePool")}
    stem = {name for name in passing if "/stem/" in name}
    assert stem
    assert stem <= float_nodes(graph, PARTS)
    assert not stem & float_nodes(graph, ("classifier",))
    assert any("/aggregation/" in name for name in passing - float_nodes(graph, PARTS))


def test_a_late_convolution_of_three_channels_is_not_on_the_picture() -> None:
    """What is before it is int8, and its many paths to the picture are not gone one by one."""
    net = Net(classes=32)
    for i in range(40):
        before = net.end
        net.convolution(32, 32, 1)
        net.nodes.append(onnx.helper.make_node("Add", [before, net.end], [f"sum_{i}"], f"add_{i}"))
        net.end = f"sum_{i}"
    net.convolution(3, 32, 1)
    net.convolution(32, 3, 1)
    graph = onnx.helper.make_graph(net.nodes, "net", net.inputs, [], net.tensors)
    first, *_, last = [node.name for node in net.nodes if node.op_type == "Conv"]
    floats = float_nodes(graph, ("stem",))
    assert first in floats
    assert last not in floats
    assert not {f"add_{i}" for i in range(40)} & floats


def test_what_a_branch_reads_is_computed_before_it(tmp_path: Path) -> None:
    """The order of the nodes counts what bodies read, and so do the operator sets."""
    net, value = Net(classes=32), onnx.helper.make_tensor_value_info
    bodies = {
        f"{name}_branch": onnx.helper.make_graph(
            [onnx.helper.make_node(kind, [net.end], [name], domain=domain)], name, [],
            [value(name, onnx.TensorProto.FLOAT, [None] * 4)],
        )
        for name, kind, domain in (("then", "Gelu", "com.microsoft"), ("else", "Identity", ""))
    }  # fmt: skip
    net.nodes.append(onnx.helper.make_node("ReduceMax", ["image"], ["most"], keepdims=0))
    net.nodes.append(onnx.helper.make_node("Cast", ["most"], ["any"], to=onnx.TensorProto.BOOL))
    net.nodes.append(onnx.helper.make_node("If", ["any"], ["branch"], "branch", **bodies))
    net.end = "branch"
    net.convolution(32, 32, 1)
    net.convolution(len(CAMVID), 32, 1)
    model = onnx.load(net.write(tmp_path / "net.onnx"))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "net.onnx")
    import_onnx(tmp_path / "net.onnx", tmp_path / "float.onnx", CAMVID)
    quantise(tmp_path / "float.onnx", tmp_path / "int8.onnx", PICTURES)
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    one, two = open_engine(tmp_path / "float.onnx"), open_engine(tmp_path / "int8.onnx")
    assert agreement(one.infer(PICTURES[0]).copy(), two.infer(PICTURES[0]).copy()) > 0.9


def test_openvino_rounds_a_repeated_tensor_once(source: Path, quantised: Path) -> None:
    """The same ids with and without the second rounding, which only OpenVINO's files lack."""
    openvino = pytest.importorskip("openvino", reason="openvino (extra [openvino]) is not installed")
    model = openvino.Core().read_model(str(quantised))
    before = [op.get_type_name() for op in model.get_ordered_ops()].count("FakeQuantize")
    image = DRIVE.render(7)[0][None]
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    expected = openvino.compile_model(model, "CPU", settings)(image)[0]
    quantise_repeated_once(model)
    model.validate_nodes_and_infer_types()
    repeats = {n.name for n in onnx.load(quantised).graph.node if n.name.endswith("/Repeat")}
    kinds = [op.get_type_name() for op in model.get_ordered_ops()]
    in_int8 = repeats - float_nodes(onnx.load(source).graph, PARTS)
    assert (len(repeats), len(in_int8)) == (8, 6)
    assert kinds.count("FakeQuantize") == before - len(in_int8)
    assert agreement(openvino.compile_model(model, "CPU", settings)(image)[0], expected) > 0.995


@pytest.mark.parametrize("keep", [(), ("classifier",), PARTS])
def test_what_is_kept_stays_float(tmp_path: Path, source: Path, keep: tuple[str, ...]) -> None:
    quantise(source, tmp_path / "out.onnx", PICTURES[:2], keep)
    graph = onnx.load(source).graph
    convolutions = {n.name for n in graph.node if n.op_type == "Conv"}
    tensors = onnx.load(tmp_path / "out.onnx").graph.initializer
    in_int8 = sum(t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4 for t in tensors)
    assert in_int8 == len(convolutions - float_nodes(graph, keep))


def test_bad_arguments(tmp_path: Path, source: Path, quantised: Path) -> None:
    out = tmp_path / "out.onnx"
    for arguments, message in [
        ((source, out, []), "0 pictures"),
        ((source, tmp_path / "out.pt", PICTURES), "ends in .onnx"),
        ((source, out, PICTURES, ("stems",)), "part 'stems'"),
        ((tmp_path / "missing.onnx", out, PICTURES), "cannot read"),
        ((quantised, out, PICTURES), "int8 already"),
    ]:
        with pytest.raises(UsageError, match=message):
            quantise(*arguments)  # type: ignore[arg-type]
    bare = onnx.load(source)
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    with pytest.raises(ModelSpecError, match="of another program"):
        quantise(tmp_path / "bare.onnx", out, PICTURES)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["bare.onnx"]


def test_nowhere_to_write(tmp_path: Path, source: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot write"):
        quantise(source, tmp_path / "file" / "out.onnx", PICTURES[:1])
