"""Which nodes of a network stay float in int8."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx

from drivenet.onnx_graph import Graph, Node

#: All names of the nodes of a head for things begin with it.
THINGS = "things/"
#: What is computed in int8; all else stays float.
QUANTISED = ("Conv", "Add", "Concat", "MaxPool", "AveragePool")
#: Parts that may stay float: convolutions on the picture, the last one, those that feed a sigmoid, and those to at
#: most 16 channels. The last cost little to compute and much to quantise: one of them in the semantic stem of a
#: BiSeNetV2 took 2.7 points of mIoU on CamVid val.
PARTS = ("stem", "classifier", "gates", "narrow")
NARROW = 16
#: The convolutions, in the order of computing, are parted into so many equal spans.
TENTHS = 10


def float_nodes(graph: onnx.GraphProto, keep: Sequence[str], tenths: Collection[int] = ()) -> set[str]:
    """Names of the nodes that stay float: a head for things, what ``keep`` names, and these tenths of the network."""
    known = Graph(graph)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    convs = {n.name: shapes.get(n.input[1], (NARROW + 1, 0)) for n in graph.node if n.op_type == "Conv"}
    stem = [n for n in known.nodes if convs.get(n.name, (0, 0))[1] == 3 and _is_first(known, n)]
    last = [n for n in graph.node if n.op_type == "ArgMax"]
    sigmoids = [n for n in graph.node if n.op_type in ("Sigmoid", "HardSigmoid")]
    found = {node.name for node in known.before(*stem)}
    found |= {n.name for n in graph.node if n.name.startswith(THINGS)}  # offsets of 8 bits are rounded once
    if "stem" in keep:
        found |= {node.name for node in stem}
    if "classifier" in keep:
        found |= _last_convolution(known, last)
    if "gates" in keep:
        found |= _last_convolution(known, sigmoids)
    if "narrow" in keep:
        found |= {name for name, shape in convs.items() if shape[0] <= NARROW}
    found |= _in_tenths(graph, tenths)
    return found | _between_floats(graph, found)


def _is_first(graph: Graph, convolution: Node) -> bool:
    """Whether no other convolution is before one."""
    return all(node.op_type != "Conv" for node in graph.before(convolution))


def _in_tenths(graph: onnx.GraphProto, tenths: Collection[int]) -> set[str]:
    """The convolutions of these tenths of all, and the additions before each; nodes are in the order of computing."""
    after = [0, *(i + 1 for i, node in enumerate(graph.node) if node.op_type == "Conv")]
    ends = [after[round(t / TENTHS * (len(after) - 1))] for t in range(TENTHS)] + [len(graph.node)]
    spans = [graph.node[ends[t] : ends[t + 1]] for t in tenths]
    return {node.name for span in spans for node in span if node.op_type in ("Conv", "Add")}


def _between_floats(graph: onnx.GraphProto, floats: set[str]) -> set[str]:
    """Pools, concatenations and depth-wise convolutions between nodes that stay float: int8 would be a detour there.

    One after the stem, with a range of its own in every channel, took 1.1 points of agreement with the float model.
    """
    wide = {tensor.name: tensor.dims[1] > 1 for tensor in graph.initializer if len(tensor.dims) == 4}
    found = {n.name for n in graph.node if n.op_type in ("Concat", "MaxPool", "AveragePool")}
    found |= {n.name for n in graph.node if n.op_type == "Conv" and not wide.get(n.input[1], True)}
    neighbours = _neighbours(graph)
    while bound := {name for name in found if neighbours[name] - floats - found}:
        found -= bound
    return found


def _neighbours(graph: onnx.GraphProto) -> dict[str, set[str]]:
    """For each node that might be quantised, the nearest such before and after it."""
    near: dict[str, set[str]] = {node.name: set() for node in graph.node if node.op_type in QUANTISED}
    reached: dict[str, set[str]] = {}  # a tensor, and whose results are in it
    for node in graph.node:
        before = set().union(*(reached.get(name, set()) for name in node.input))
        if node.name in near:
            near[node.name] |= before
            for name in before:
                near[name].add(node.name)
        for output in node.output:
            reached[output] = {node.name} if node.name in near else before
    return near


def _last_convolution(graph: Graph, nodes: Sequence[Node]) -> set[str]:
    """The nearest convolutions before some nodes, and all between."""
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        makers = [maker for name in waiting.pop().input if (maker := graph.maker(name)) is not None]
        new = [maker for maker in makers if maker.name not in found]
        found |= {maker.name for maker in new}
        waiting += [maker for maker in new if maker.op_type != "Conv"]
    return found
