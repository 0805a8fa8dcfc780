"""The nodes of an ONNX graph and its constants, and who makes and reads what, while the graph is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Node = onnx.NodeProto

#: Operators behind which a probability is still one.
_KEEPS_VALUES = ("Cast", "Identity", "Reshape", "Resize", "Squeeze", "Transpose", "Upsample")


class Graph:
    """An ONNX graph that is read and changed; :meth:`write` puts the changes into effect.

    What makes and reads a tensor is known at any time, also after a change. Nodes in the graph are therefore changed
    through its methods alone; one that was removed, or is not in yet, is the caller's.

    Args:
        graph: the nodes and constants in it are changed in place, its lists of them by :meth:`write`.
    """

    nodes: list[Node]

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.proto = graph
        self._untyped: set[str] = set()
        self._read()

    def maker(self, tensor: str) -> Node | None:
        """The node that makes a tensor; None for an input, a constant, and what is not in the graph."""
        return self._makers.get(tensor)

    def readers(self, tensor: str) -> list[Node]:
        """The nodes that read a tensor, each once, also those that read it in a body of theirs."""
        return list(self._readers.get(tensor, ()))

    def only_reader(self, node: Node) -> Node | None:
        """The one node that reads what another makes, if it is one and the graph does not give it."""
        readers = self._readers.get(node.output[0], [])
        return readers[0] if len(readers) == 1 and node.output[0] not in self.outputs else None

    def before(self, *nodes: Node) -> Iterator[Node]:
        """All nodes that these depend on, each once."""
        seen, waiting = set[str](), list(nodes)
        for node in waiting:
            for name in reads(node):
                maker = self._makers.get(name)
                if maker is not None and maker.output[0] not in seen:
                    seen.add(maker.output[0])
                    waiting.append(maker)
                    yield maker

    def constant(self, name: str) -> npt.NDArray[Any]:
        """The values of a constant."""
        values: npt.NDArray[Any] = numpy_helper.to_array(self.tensors[name])
        return values

    def constants(self, node: Node) -> bool:
        """Whether all but the first input of a node are constants."""
        return all(name in self.tensors for name in node.input[1:])

    def add(self, name: str, values: npt.NDArray[Any]) -> str:
        """A new constant, or other values for one; its name."""
        self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)
        return name

    def change(self, node: Node, place: int, values: npt.NDArray[Any]) -> None:
        """Give a node another constant, leaving to others what they share with it."""
        self.rewire(node, place, self.add(f"{node.input[place]}/{called(node)}", values))

    def rewire(self, node: Node, place: int, *tensors: str) -> None:
        """Let a node read these tensors as its inputs from a place on; the others stay."""
        self._leave(node)
        node.input[place : place + len(tensors)] = tensors
        self._enter(node)

    def redirect(self, old: str, new: str) -> None:
        """Let all that read a tensor read another; what a body of a node reads stays."""
        for node in self.readers(old):
            for place in [i for i, name in enumerate(node.input) if name == old]:
                self.rewire(node, place, new)

    def insert_before(self, node: Node, *others: Node) -> None:
        """Put others, which are not in the graph, in front of a node."""
        self._insert(self._place(node), others)

    def insert_after(self, node: Node, *others: Node) -> None:
        """Put others, which are not in the graph, behind a node."""
        self._insert(self._place(node) + 1, others)

    def remove(self, *nodes: Node) -> None:
        """Take nodes out."""
        for node in nodes:
            del self.nodes[self._place(node)]
            self._leave(node)
            for name in node.output:
                self._makers.pop(name, None)

    def sort(self) -> None:
        """Put each node behind all that it reads of, bodies included; what is in order stays as it is."""
        placed: dict[int, Node] = {}
        waiting = self.nodes[::-1]
        while waiting:
            node = waiting.pop()
            makers = [maker for name in sorted(reads(node)) if (maker := self.maker(name)) is not None]
            lacking = [maker for maker in makers if id(maker) not in placed]
            waiting += [node, *lacking] if lacking else []
            if not lacking:
                placed[id(node)] = node
        self.nodes = list(placed.values())

    def forget_type(self, tensor: str) -> None:
        """Leave out of the graph what it says of a tensor between its nodes, which holds no more."""
        self._untyped.add(tensor)

    def write(self) -> None:
        """Put the nodes back, with the constants that they read."""
        read = self.outputs.union(*(reads(node) for node in self.nodes))
        nodes = [node for node in self.nodes if node.op_type != "Constant" or node.output[0] in read]
        tensors = [tensor for name, tensor in self.tensors.items() if name in read]
        typed = [one for one in self.proto.value_info if one.name not in self._untyped]
        for field, kept in (
            (self.proto.node, nodes), (self.proto.initializer, tensors), (self.proto.value_info, typed)
        ):  # fmt: skip
            fill(field, kept)
        self._read()

    def _read(self) -> None:
        """Learn the graph as it is written."""
        self.nodes = []
        self.outputs = {output.name for output in self.proto.output}
        self.tensors = {tensor.name: tensor for tensor in self.proto.initializer}
        self._makers: dict[str, Node] = {}
        self._readers: dict[str, list[Node]] = {}
        self._insert(0, self.proto.node)

    def _place(self, node: Node) -> int:
        return next(i for i, one in enumerate(self.nodes) if one is node)

    def _insert(self, place: int, nodes: Iterable[Node]) -> None:
        added = list(nodes)
        self.nodes[place:place] = added
        for node in added:
            self._enter(node)
            self._makers.update((name, node) for name in node.output if name)

    def _enter(self, node: Node) -> None:
        for name in reads(node):
            self._readers.setdefault(name, []).append(node)

    def _leave(self, node: Node) -> None:
        for name in reads(node):
            self._readers[name] = [one for one in self._readers[name] if one is not node]


def reads(node: Node) -> set[str]:
    """The tensors that a node reads, also inside its bodies."""
    found = set(node.input) - {""}
    for body in bodies([node]):
        found |= {port.name for port in body.output}
        found = found.union(*(reads(inner) for inner in body.node))
    return found


def ends_in(model: onnx.ModelProto, tensor: str, *kinds: str) -> bool:
    """Whether a node of these kinds made a tensor, or made what was no more than resized or put otherwise."""
    graph = Graph(model.graph)
    node = graph.maker(tensor)
    while node is not None and node.op_type in _KEEPS_VALUES:
        node = graph.maker(node.input[0]) if node.input else None
    return node is not None and node.op_type in kinds


def bodies(nodes: Iterable[Node]) -> list[onnx.GraphProto]:
    """The bodies of loops and branches directly inside these nodes."""
    attributes = [attribute for node in nodes for attribute in node.attribute]
    return [a.g for a in attributes if a.type == onnx.AttributeProto.GRAPH] + [
        g for a in attributes if a.type == onnx.AttributeProto.GRAPHS for g in a.graphs
    ]


def keep_used_domains(model: onnx.ModelProto) -> None:
    """Only the operator sets that a node is of, each once, in place: programs leave theirs, and others refuse them."""
    used: set[str] = {""}
    waiting = [model.graph]
    while waiting:
        graph = waiting.pop()
        used |= {_domain(node.domain) for node in graph.node}
        waiting += bodies(graph.node)
    known = {_domain(entry.domain): entry for entry in model.opset_import}
    if "" in known and known[""].domain:
        known[""].domain = ""
    fill(model.opset_import, [entry for domain, entry in known.items() if domain in used])


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def fill(field: Any, kept: Iterable[Any]) -> None:
    """Let a repeated field of a graph hold these, which may be some of its own."""
    copies = [type(one).FromString(one.SerializeToString()) for one in kept]
    del field[:]
    field.extend(copies)


def called(node: Node) -> str:
    """What names are made of that belong to a node: its name, which programs may leave out, or what it gives."""
    return node.name or node.output[0]
