"""Makes an exported graph cheaper without changing what it computes: the same ids, but for the rounding of floats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from drivenet.onnx_graph import Graph, Node, called


def simplify(model: onnx.ModelProto) -> None:
    """Change a deployed graph in place.

    1. The scale of the normalisation and the change of BGR to RGB go into the weights of the first convolutions; the
       mean is subtracted before the transpose, which then costs nothing where channels come last.
    2. A convolution that makes several channels out of each one becomes a repetition of channels and a depth-wise
       convolution, for which backends have fast kernels (in OpenVINO's int8, three times as fast).
    """
    graph = Graph(model.graph)
    name_constants_directly(graph)
    _absorb_normalisation(graph)
    for node in list(graph.nodes):
        if node.op_type == "Conv" and graph.constants(node):
            _split_expansion(graph, node)
    graph.write()
    del model.graph.value_info[:]  # shapes of what lies between, where the axes are in another order now


def name_constants_directly(graph: Graph) -> None:
    """PyTorch writes constants that are equal once, and reads them through Identity elsewhere."""
    for node in list(graph.nodes):
        if node.op_type == "Identity" and node.input[0] in graph.tensors and node.output[0] not in graph.outputs:
            graph.redirect(node.output[0], node.input[0])
            if not graph.readers(node.output[0]):
                graph.remove(node)


def _absorb_normalisation(graph: Graph) -> None:
    """Cast, Transpose, Mul, Add, Slice before the first convolutions become Cast, Add, Transpose."""
    chain = _chain(graph, graph.nodes[0], ("Cast", "Transpose", "Mul", "Add", "Slice"))
    if chain is None:
        return
    cast, transpose, mul, add, flip = chain
    first = graph.readers(flip.output[0])
    if not all(node.op_type == "Conv" and group_of(node) == 1 and graph.constants(node) for node in first):
        return
    if not _turns_channels(graph, flip):  # an imported network may begin with one that cuts pixels off
        return
    scale, offset = (graph.constant(node.input[1]) for node in (mul, add))  # of B, G, R
    for node in first:
        graph.change(node, 1, graph.constant(node.input[1])[:, ::-1] * scale)
        graph.rewire(node, 0, transpose.output[0])
    width = graph.proto.input[0].type.tensor_type.shape.dim[2].dim_value
    # a row of pixels at a time: three numbers at a time fill no vector register
    graph.change(add, 1, np.tile((offset / scale).reshape(1, 1, 1, 3), (1, 1, width, 1)))
    graph.remove(transpose, mul, add, flip)
    add.input[0], transpose.input[0] = cast.output[0], add.output[0]
    graph.insert_after(cast, add, transpose)


def _chain(graph: Graph, node: Node | None, kinds: tuple[str, ...]) -> list[Node] | None:
    """Nodes of these kinds of which each is the only one to read the one before."""
    found: list[Node] = []
    for kind in kinds:
        if node is None or node.op_type != kind:
            return None
        found.append(node)
        node = graph.only_reader(node) if kind != kinds[-1] else None
    return found


def _turns_channels(graph: Graph, cut: Node) -> bool:
    """Whether a Slice of (N, C, H, W) gives all channels in the opposite order, and nothing else."""
    told: list[list[int]] = []  # starts, ends, axes, steps
    for name in cut.input[1:]:
        maker = graph.maker(name)
        if maker is not None and maker.op_type == "Constant":
            told.append(numpy_helper.to_array(maker.attribute[0].t).tolist())
        elif name in graph.tensors:
            told.append(graph.constant(name).tolist())
    return len(told) == 4 and told[0] == [-1] and told[1][0] < -3 and told[2:] == [[1], [-1]]


def _split_expansion(graph: Graph, node: Node) -> None:
    """One channel to several as a repetition and a depth-wise convolution.

    To repeat all channels in turn is a concatenation. It leaves the results in another order, which the weights of
    the convolutions that follow undo; nothing is changed where something else reads the results.
    """
    groups, weights = group_of(node), graph.constant(node.input[1])
    wide = len(weights)
    followers = _followers(graph, node)
    if not (1 < groups < wide and weights.shape[1] == 1 and followers):
        return
    order = np.arange(wide).reshape(groups, -1).T.reshape(-1)
    _reorder(graph, [node, *followers], order)
    repeated, name = f"{called(node)}/repeated", f"{called(node)}/Repeat"
    repeat = helper.make_node("Concat", [node.input[0]] * (wide // groups), [repeated], name, axis=1)
    next(a for a in node.attribute if a.name == "group").i = wide
    graph.insert_before(node, repeat)
    graph.rewire(node, 0, repeated)


def unsplit_expansions(graph: Graph) -> None:
    """Put the channels of every repetition back into the order that they had; leaves the repetitions where they are."""
    for node in graph.nodes:
        repeat = graph.maker(node.input[0]) if node.op_type == "Conv" else None
        if repeat is None or repeat.op_type != "Concat" or len(set(repeat.input)) > 1:
            continue
        back = np.arange(group_of(node)).reshape(len(repeat.input), -1).T.reshape(-1)
        _reorder(graph, [node, *_followers(graph, node)], back)


def _reorder(graph: Graph, chain: list[Node], order: npt.NDArray[np.intp]) -> None:
    """Give convolutions that follow each other their channels in another order; the last one, which mixes them, reads
    them so.
    """
    *same, mixing = chain
    for one in same:
        for place, name in enumerate(one.input[1:], 1):
            graph.change(one, place, graph.constant(name)[order])
    graph.change(mixing, 1, graph.constant(mixing.input[1])[:, order])


def _followers(graph: Graph, node: Node) -> list[Node]:
    """The depth-wise convolutions on the channels of ``node`` and the one that mixes them; empty if it is not so."""
    found: list[Node] = []
    reader = graph.only_reader(node)
    while reader is not None and reader.op_type in ("Relu", "Conv"):
        if reader.op_type == "Conv":
            found.append(reader)
            if not graph.constants(reader):
                break
            if group_of(reader) == 1:
                return found
            outputs, inputs = graph.constant(reader.input[1]).shape[:2]
            if group_of(reader) != outputs or inputs > 1:
                break
        reader = graph.only_reader(reader)
    return []


def group_of(node: Node) -> int:
    """The groups of a convolution."""
    return next((int(a.i) for a in node.attribute if a.name == "group"), 1)
