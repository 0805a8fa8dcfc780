"""The graph tool: who makes and reads what is known after every change, and written is what was changed."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx (extra [import]) is not installed")

import onnxruntime as ort  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from drivenet.onnx_graph import Graph  # noqa: E402


def chain() -> onnx.ModelProto:
    """x + one -> a, relu -> b, b * two -> y; ``a`` and ``y`` have types."""
    nodes = [
        helper.make_node("Add", ["x", "one"], ["a"], "add"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Mul", ["b", "two"], ["y"], "mul"),
    ]
    x, a, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xay")
    constants = [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("one", 1), ("two", 2))]
    graph = helper.make_graph(nodes, "chain", [x], [y], constants, value_info=[a])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def result(model: onnx.ModelProto) -> list[float]:
    """What it makes of -2, 0 and 3."""
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": np.array([-2, 0, 3], np.float32)})[0].tolist()


def names(nodes: list[onnx.NodeProto]) -> list[str]:
    return [node.name for node in nodes]


def test_a_moved_node_is_found_where_it_is_now() -> None:
    model = chain()
    graph = Graph(model.graph)
    add, relu, mul = graph.nodes
    graph.remove(relu)
    assert graph.maker("b") is None
    assert graph.readers("a") == []
    graph.rewire(mul, 0, "a")
    graph.remove(mul)
    relu.input[0], relu.output[0], mul.output[0] = "doubled", "y", "doubled"
    graph.insert_after(add, mul, relu)
    assert names(graph.nodes) == ["add", "mul", "relu"]
    assert graph.maker("y") is relu
    assert graph.maker("doubled") is mul
    assert graph.only_reader(add) is mul
    assert graph.readers("b") == []
    assert names(list(graph.before(relu))) == ["mul", "add"]
    graph.write()
    assert names(list(model.graph.node)) == ["add", "mul", "relu"]
    assert result(model) == [0, 2, 8]


def test_an_added_node_is_read_and_reads() -> None:
    model = chain()
    graph = Graph(model.graph)
    _, relu, mul = graph.nodes
    graph.insert_before(mul, helper.make_node("Sub", ["b", graph.add("three", np.array(3, np.float32))], ["c"], "sub"))
    assert names(graph.readers("b")) == ["mul", "sub"]
    assert graph.only_reader(relu) is None
    graph.rewire(mul, 0, "c")
    assert names(graph.readers("b")) == ["sub"]
    assert names(graph.readers("three")) == ["sub"]
    graph.write()
    assert result(model) == [-6, -4, 2]


def test_a_removed_node_leaves_no_constant_that_it_alone_read() -> None:
    model = chain()
    graph = Graph(model.graph)
    add, relu, _ = graph.nodes
    graph.redirect("b", "a")
    graph.remove(relu)
    assert names(graph.readers("a")) == ["mul"]
    graph.redirect("a", "x")
    graph.remove(add)
    graph.write()
    assert [tensor.name for tensor in model.graph.initializer] == ["two"]
    assert result(model) == [-4, 0, 6]


def test_a_changed_constant_stays_with_who_shares_it() -> None:
    model = chain()
    graph = Graph(model.graph)
    add, _, mul = graph.nodes
    graph.rewire(mul, 1, "one")
    graph.change(add, 1, np.array(5, np.float32))
    assert names(graph.readers("one")) == ["mul"]
    graph.write()
    assert result(model) == [3, 5, 8]


def test_a_node_that_reads_a_tensor_twice_is_one_reader() -> None:
    model = chain()
    graph = Graph(model.graph)
    add, relu, mul = graph.nodes
    graph.rewire(mul, 0, "b", "b")
    assert graph.readers("b") == [mul]
    assert graph.only_reader(relu) is mul
    graph.redirect("b", "a")
    assert list(mul.input) == ["a", "a"]
    assert names(graph.readers("a")) == ["relu", "mul"]
    assert graph.only_reader(add) is None


def test_types_stay_but_those_that_hold_no_more() -> None:
    model = chain()
    Graph(model.graph).write()
    assert [known.name for known in model.graph.value_info] == ["a"]
    graph = Graph(model.graph)
    graph.forget_type("a")
    graph.write()
    assert list(model.graph.value_info) == []


def test_it_can_be_changed_on_after_it_was_written() -> None:
    model = chain()
    graph = Graph(model.graph)
    graph.write()
    graph.rewire(graph.nodes[0], 1, "two")
    graph.write()
    assert result(model) == [0, 4, 10]


def test_what_a_branch_reads_is_read() -> None:
    """Its constants stay, and its node is a reader."""
    model = chain()
    body = helper.make_graph(
        [helper.make_node("Sub", ["a", "far"], ["out"])], "body", [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [3])],
    )  # fmt: skip
    model.graph.initializer.append(numpy_helper.from_array(np.array(9, np.float32), "far"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    graph = Graph(model.graph)
    add, _, mul = graph.nodes
    graph.insert_before(mul, helper.make_node("If", ["yes"], ["c"], "if", then_branch=body, else_branch=body))
    graph.rewire(mul, 0, "c")
    assert names(graph.readers("far")) == ["if"]
    assert names(graph.readers("a")) == ["relu", "if"]
    assert graph.only_reader(add) is None
    graph.write()
    assert result(model) == [-20, -16, -10]


def test_what_the_graph_gives_has_no_only_reader() -> None:
    model = chain()
    model.graph.output.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [3]))
    graph = Graph(model.graph)
    assert graph.only_reader(graph.nodes[0]) is None
    graph.remove(graph.nodes[1])
    graph.write()
    assert names(list(model.graph.node)) == ["add", "mul"]


def test_sorted_is_what_was_out_of_order_alone() -> None:
    model = chain()
    add, relu, mul = (type(node).FromString(node.SerializeToString()) for node in model.graph.node)
    other = helper.make_node("Neg", ["x"], ["z"], "other")
    del model.graph.node[:]
    model.graph.node.extend([other, mul, add, relu])
    graph = Graph(model.graph)
    graph.sort()
    assert names(graph.nodes) == ["other", "add", "relu", "mul"]
    graph.write()
    assert result(model) == [0, 2, 8]
