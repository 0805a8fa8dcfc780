"""Makes an exported graph cheaper without changing what it computes: the same ids, but for the rounding of floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Node = onnx.NodeProto


class Graph:
    """The nodes of an ONNX graph, its constants, and who reads what; :meth:`write` puts changes into effect."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.nodes = list(graph.node)
        self.outputs = {output.name for output in graph.output}
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._name_constants_directly()
        self.readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.makers = {name: node for node in self.nodes for name in node.output}

    def _name_constants_directly(self) -> None:
        """PyTorch writes constants that are equal once, and reads them through Identity elsewhere."""
        same = {n.output[0]: n.input[0] for n in self.nodes if n.op_type == "Identity" and n.input[0] in self.tensors}
        self.nodes = [node for node in self.nodes if node.output[0] not in same]
        for node in self.nodes:
            for place, name in enumerate(node.input):
                node.input[place] = same.get(name, name)

    def constant(self, name: str) -> npt.NDArray[Any]:
        """The values of a constant."""
        values: npt.NDArray[Any] = numpy_helper.to_array(self.tensors[name])
        return values

    def change(self, node: Node, place: int, values: npt.NDArray[Any]) -> None:
        """Give a node another constant, leaving to others what they share with it."""
        name = f"{node.input[place]}/{_called(node)}"
        self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        node.input[place] = name

    def constants(self, node: Node) -> bool:
        """Whether all but the first input of a node are constants."""
        return all(name in self.tensors for name in node.input[1:])

    def only_reader(self, node: Node) -> Node | None:
        """The one node that reads what another makes, if it is one."""
        readers = self.readers.get(node.output[0], [])
        return readers[0] if len(readers) == 1 and node.output[0] not in self.outputs else None

    def replace(self, node: Node, *others: Node) -> None:
        """Put others, or nothing, in the place of a node."""
        at = next(i for i, one in enumerate(self.nodes) if one is node)
        self.nodes[at : at + 1] = others

    def write(self) -> None:
        """Put the nodes back, with the constants that they read, and forget the shapes of what lies between."""
        read = {name for node in self.nodes for name in node.input} | self.outputs
        nodes = [node for node in self.nodes if node.op_type != "Constant" or node.output[0] in read]
        tensors = [tensor for name, tensor in self.tensors.items() if name in read]
        for field, kept in ((self.graph.node, nodes), (self.graph.initializer, tensors), (self.graph.value_info, [])):
            copies = [type(one).FromString(one.SerializeToString()) for one in kept]
            del field[:]
            field.extend(copies)


def simplify(model: onnx.ModelProto) -> None:
    """Change a deployed graph in place.

    1. The scale of the normalisation and the change of BGR to RGB go into the weights of the first convolutions; the
       mean is subtracted before the transpose, which then costs nothing where channels come last.
    2. A convolution that makes several channels out of each one becomes a repetition of channels and a depth-wise
       convolution, for which backends have fast kernels (in OpenVINO's int8, three times as fast).
    """
    graph = Graph(model.graph)
    _absorb_normalisation(graph)
    for node in list(graph.nodes):
        if node.op_type == "Conv" and graph.constants(node):
            _split_expansion(graph, node)
    graph.write()


def _absorb_normalisation(graph: Graph) -> None:
    """Cast, Transpose, Mul, Add, Slice before the first convolutions become Cast, Add, Transpose."""
    chain = _chain(graph, graph.nodes[0], ("Cast", "Transpose", "Mul", "Add", "Slice"))
    if chain is None:
        return
    cast, transpose, mul, add, flip = chain
    first = graph.readers[flip.output[0]]
    if not all(node.op_type == "Conv" and group_of(node) == 1 and graph.constants(node) for node in first):
        return
    scale, offset = (graph.constant(node.input[1]) for node in (mul, add))  # of B, G, R
    for node in first:
        graph.change(node, 1, graph.constant(node.input[1])[:, ::-1] * scale)
        node.input[0] = transpose.output[0]
    width = graph.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    # a row of pixels at a time: three numbers at a time fill no vector register
    graph.change(add, 1, np.tile((offset / scale).reshape(1, 1, 1, 3), (1, 1, width, 1)))
    add.input[0], transpose.input[0] = cast.output[0], add.output[0]
    for gone in (transpose, mul, add, flip):
        graph.replace(gone)
    graph.replace(cast, cast, add, transpose)


def _chain(graph: Graph, node: Node | None, kinds: tuple[str, ...]) -> list[Node] | None:
    """Nodes of these kinds of which each is the only one to read the one before."""
    found: list[Node] = []
    for kind in kinds:
        if node is None or node.op_type != kind:
            return None
        found.append(node)
        node = graph.only_reader(node) if kind != kinds[-1] else None
    return found


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
    repeated, name = f"{_called(node)}/repeated", f"{_called(node)}/Repeat"
    repeat = helper.make_node("Concat", [node.input[0]] * (wide // groups), [repeated], name, axis=1)
    node.input[0] = repeated
    next(a for a in node.attribute if a.name == "group").i = wide
    graph.replace(node, repeat, node)


def unsplit_expansions(graph: Graph) -> None:
    """Put the channels of every repetition back into the order that they had; leaves the repetitions where they are."""
    for node in graph.nodes:
        repeat = graph.makers.get(node.input[0]) if node.op_type == "Conv" else None
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


def _called(node: Node) -> str:
    """What names are made of that belong to a node: its name, which programs may leave out, or what it gives."""
    return node.name or node.output[0]


def group_of(node: Node) -> int:
    """The groups of a convolution."""
    return next((int(a.i) for a in node.attribute if a.name == "group"), 1)
