"""Simplified graphs: the ids of the graph as traced, with kernels that backends have."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra [train]) is not installed")
onnx = pytest.importorskip("onnx", reason="onnx (extra [train]) is not installed")

from onnx import numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from drivenet.engine import open_engine  # noqa: E402
from drivenet.export.onnx import export_onnx  # noqa: E402
from drivenet.export.simplify import group_of, simplify  # noqa: E402
from drivenet.export.trace import OPSET  # noqa: E402
from drivenet.labels import CAMVID  # noqa: E402
from drivenet.models import create  # noqa: E402
from drivenet.models.deployed import Deployed  # noqa: E402
from drivenet.modelspec import LabelsSpec  # noqa: E402
from drivenet.synthetic import SyntheticDrive  # noqa: E402

SIZE = (96, 160)
SPEC = {"name": "tiny", "labels": LabelsSpec.of(CAMVID)}
NETWORKS = {
    "bisenetv2": {"width": 0.25, "semantic": 0.5, "head": 16},
    "bisenetv1": {},
}


def randomised(name: str) -> torch.nn.Module:
    """A network whose batch norms are not all alike, so that a wrong order of channels shows."""
    torch.manual_seed(0)
    network = create(name, len(CAMVID), NETWORKS[name]).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
    return network


def traced(deployed: torch.nn.Module) -> onnx.ModelProto:
    """The graph before it is simplified."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            deployed, (torch.zeros(1, *SIZE, 3, dtype=torch.uint8),), file, input_names=["frame"],
            output_names=["classes"], opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    return onnx.load_from_string(file.getvalue())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_ids_stay_the_same(tmp_path: Path, name: str) -> None:
    network = randomised(name)
    deployed = Deployed(network, "half").eval()
    export_onnx(network, {**SPEC, "architecture": name}, tmp_path / "tiny.onnx", SIZE)
    engine = open_engine(tmp_path / "tiny.onnx", "onnxruntime")
    drive = SyntheticDrive(SIZE[1], SIZE[0], seed=3)
    for picture in [drive.render(40 * i)[0] for i in range(3)]:
        with torch.no_grad():
            expected = deployed(torch.from_numpy(picture)[None])[0].numpy()
        assert len(np.unique(expected)) > 1
        assert np.mean(engine.infer(picture) == expected) > 0.999


def test_normalisation_is_one_subtraction_in_the_layout_of_the_picture() -> None:
    model = traced(Deployed(randomised("bisenetv2"), "half").eval())
    simplify(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node[:3]] == ["Cast", "Add", "Transpose"]
    assert not {"Mul", "Slice"} & {node.op_type for node in model.graph.node[:6]}
    offset = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == model.graph.node[1].input[1])
    np.testing.assert_allclose(offset[0, 0, 0], [-255 * m for m in (0.406, 0.456, 0.485)], rtol=1e-6)


def test_every_grouped_convolution_is_depth_wise_and_nothing_is_left_over() -> None:
    model = traced(Deployed(randomised("bisenetv2"), "half").eval())
    before = {node.name: group_of(node) for node in model.graph.node if node.op_type == "Conv"}
    simplify(model)
    constants = {t.name: tuple(t.dims) for t in model.graph.initializer}
    grouped = [node for node in model.graph.node if node.op_type == "Conv" and group_of(node) > 1]
    assert all(group_of(node) == constants[node.input[1]][0] for node in grouped)
    assert sum(group_of(node) != before[node.name] for node in grouped) == 8
    assert set(constants) <= {name for node in model.graph.node for name in node.input}


def test_what_others_read_too_is_left_alone() -> None:
    """An expansion whose channels something else reads in their order stays as it is."""
    weights = numpy_helper.from_array(np.ones((4, 1, 1, 1), np.float32), "w")
    mixing = numpy_helper.from_array(np.ones((2, 4, 1, 1), np.float32), "m")
    make, kind = onnx.helper.make_node, onnx.TensorProto.FLOAT
    expand = make("Conv", ["x", "w"], ["wide"], "expand", group=2)
    mix = make("Conv", ["wide", "m"], ["y"], "mix")
    for others, outputs in [
        ([make("Sigmoid", ["wide"], ["z"], "also")], ["y", "z"]),
        ([], ["y", "wide"]),
    ]:
        graph = onnx.helper.make_graph(
            [expand, mix, *others], "g", [onnx.helper.make_tensor_value_info("x", kind, (1, 2, 4, 4))],
            [onnx.helper.make_tensor_value_info(name, kind, None) for name in outputs], [weights, mixing],
        )  # fmt: skip
        model = onnx.helper.make_model(graph)
        simplify(model)
        assert [node.name for node in model.graph.node] == ["expand", "mix", *(o.name for o in others)]


def test_shared_weights_stay_with_who_shares_them() -> None:
    weights = numpy_helper.from_array(np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1), "w")
    mixing = numpy_helper.from_array(np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1), "m")
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        make("Conv", ["x", "w"], ["wide"], "expand", group=2),
        make("Conv", ["wide", "m"], ["y"], "mix"),
        make("Conv", ["u", "w"], ["v"], "shares", group=4),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes, "g", [value("x", kind, (1, 2, 4, 4)), value("u", kind, (1, 4, 4, 4))],
        [value("y", kind, None), value("v", kind, None)], [weights, mixing],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    random = np.random.default_rng(0)
    feed = {"x": random.random((1, 2, 4, 4), np.float32), "u": random.random((1, 4, 4, 4), np.float32)}
    expected = ReferenceEvaluator(model).run(None, feed)
    simplify(model)
    assert [n.op_type for n in model.graph.node] == ["Concat", "Conv", "Conv", "Conv"]
    for got, wanted in zip(ReferenceEvaluator(model).run(None, feed), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def expanding(*rest: tuple[tuple[int, ...], int]) -> onnx.ModelProto:
    """Unnamed convolutions one after the other, of these shapes of weights and groups, the first two channels wide."""
    make, value, kind = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    random = np.random.default_rng(0)
    tensors = [numpy_helper.from_array(random.random(shape, np.float32), f"w{i}") for i, (shape, _) in enumerate(rest)]
    nodes = [make("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"], group=group) for i, (_, group) in enumerate(rest)]
    ends = [value(f"x{i}", kind, (1, 2, 4, 4)) for i in (0, len(rest))]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])


EXPAND, MIX = ((4, 1, 1, 1), 2), ((2, 4, 1, 1), 1)


@pytest.mark.parametrize(
    ("layers", "repeats"),
    [((EXPAND, MIX, EXPAND, MIX), 2), ((EXPAND, ((4, 1, 1, 1), 4), MIX), 1),
     ((EXPAND, ((2, 2, 1, 1), 2), ((2, 2, 1, 1), 1)), 0)],
    ids=["two without names", "depth-wise between", "pairs of channels between"],
)  # fmt: skip
def test_graphs_of_other_programs_compute_the_same(
    layers: tuple[tuple[tuple[int, ...], int], ...], repeats: int
) -> None:
    model = expanding(*layers)
    feed = {"x0": np.random.default_rng(1).random((1, 2, 4, 4), np.float32)}
    expected = ReferenceEvaluator(model).run(None, feed)
    simplify(model)
    onnx.checker.check_model(model)
    assert [n.op_type for n in model.graph.node].count("Concat") == repeats
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, feed)[0], expected[0], rtol=1e-5)
