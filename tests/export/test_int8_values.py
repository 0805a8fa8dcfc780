"""Values of a quantised model: biases, ranges and the layers that stay float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
onnx = pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

import onnxruntime as ort  # noqa: E402
from int8_parts import DRIVE, PICTURES  # noqa: E402
from onnx import numpy_helper  # noqa: E402

from drivenet.build.openvino import quantise_repeated_once  # noqa: E402
from drivenet.convert.onnx_model import import_onnx  # noqa: E402
from drivenet.engine import open_engine  # noqa: E402
from drivenet.errors import ModelSpecError, SinkError, UsageError  # noqa: E402
from drivenet.export.int8 import Calibrated, quantise  # noqa: E402
from drivenet.export.int8_nodes import PARTS, float_nodes  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.metrics import agreement  # noqa: E402
from tests.convert.foreign_models import Net  # noqa: E402


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
