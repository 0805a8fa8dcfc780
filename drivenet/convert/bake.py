"""Declared preprocessing in front of a graph and the best class behind it: uint8 BGR picture in, uint8 ids out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from drivenet.convert.declaration import Declaration
from drivenet.convert.graph import PREFIX
from drivenet.convert.ports import Input, Output
from drivenet.engine.onnxruntime.file import INPUT, OUTPUT
from drivenet.export.simplify import simplify
from drivenet.onnx_graph import bodies, fill


class _Chain:
    """Nodes in a row, each of which reads what the one before gives."""

    def __init__(self, graph: onnx.GraphProto, start: str, name: str) -> None:
        self.graph, self.end, self.name = graph, start, name
        self.nodes: list[onnx.NodeProto] = []

    def add(self, kind: str, *constants: npt.NDArray[np.generic] | None, **attributes: Any) -> _Chain:
        """One more node; its further inputs are constants, None for one that is left out."""
        number = len(self.nodes)
        names = [""] * len(constants)
        for place, values in enumerate(constants):
            if values is not None:
                names[place] = f"{self.name}/{number}/{place}"
                self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), names[place]))
        out = f"{self.name}/{number}"
        self.nodes.append(
            helper.make_node(kind, [self.end, *names], [out], f"{self.name}/{kind}_{number}", **attributes)
        )
        self.end = out
        return self


def bake(
    model: onnx.ModelProto, taken: Input, given: Output, declared: Declaration, output: tuple[int, int]
) -> None:  # fmt: skip
    """Change a model in its normal form in place.

    Args:
        model: from :func:`~drivenet.convert.graph.normal_form`.
        taken: its input.
        given: its output.
        declared: the preprocessing.
        output: (height, width) of the class map; scores of another size are resized bilinearly before the argmax.
    """
    graph = model.graph
    before = _before(graph, taken, declared)
    after = _after(graph, given, output)
    for node in graph.node:
        node.input[:] = [before.end if name == PREFIX + taken.name else name for name in node.input]
    for body in bodies(graph.node):
        _rename(body, PREFIX + taken.name, before.end)
    nodes = [*before.nodes, *graph.node, *after.nodes]
    nodes[-1].output[0] = OUTPUT
    fill(graph.node, nodes)
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, *taken.size, 3]))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.UINT8, [1, *output]))
    if not bodies(graph.node):
        simplify(model)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    for body in bodies(graph.node):
        _rename(body, old, new)


def _before(graph: onnx.GraphProto, taken: Input, declared: Declaration) -> _Chain:
    """The picture as the network's input. Its nodes are in the order in which ``simplify`` can absorb them."""
    chain = _Chain(graph, INPUT, "preprocess")
    chain.add("Cast", to=TensorProto.FLOAT)
    planar = taken.layout == "nchw"
    if planar:
        chain.add("Transpose", perm=[0, 3, 1, 2])
    turned = slice(None, None, -1 if declared.colour == "rgb" else 1)  # of B, G, R
    shape = (1, 3, 1, 1) if planar else (1, 1, 1, 3)
    std = np.array(declared.std[turned], np.float64)
    mean = np.array(declared.mean[turned], np.float64)
    chain.add("Mul", (declared.scale / std).astype(np.float32).reshape(shape))
    chain.add("Add", (-mean / std).astype(np.float32).reshape(shape))
    if declared.colour == "rgb":
        numbers = [np.array([n], np.int64) for n in (-1, np.iinfo(np.int64).min + 1, 1 if planar else 3, -1)]
        chain.add("Slice", *numbers)
    if taken.dtype == np.uint8:
        chain.add("Cast", to=TensorProto.UINT8)
    return chain


def _after(graph: onnx.GraphProto, given: Output, output: tuple[int, int]) -> _Chain:
    """The output as ids. The last step is a cast from float, the only one to uint8 that TensorRT 8 reads."""
    chain = _Chain(graph, PREFIX + given.name, "classes")
    if given.kind == "sigmoid":
        chain.add("Cast", to=TensorProto.FLOAT)
        chain.add("Reshape", np.array([1, 1, *given.size], np.int64))
        _resize(chain, 1, given.size, output)
        chain.add("Greater", np.array(given.threshold, np.float32))
    elif given.kind == "logits":
        chain.add("Cast", to=TensorProto.FLOAT)
        if given.channel == 3:
            chain.add("Transpose", perm=[0, 3, 1, 2])
        _resize(chain, given.shape[given.channel or 1], given.size, output)
        return (
            chain.add("ArgMax", axis=1, keepdims=0).add("Cast", to=TensorProto.FLOAT).add("Cast", to=TensorProto.UINT8)
        )
    chain.add("Cast", to=TensorProto.FLOAT)
    chain.add("Reshape", np.array([1, *output], np.int64))
    return chain.add("Cast", to=TensorProto.UINT8)


def _resize(chain: _Chain, channels: int, size: tuple[int, int], output: tuple[int, int]) -> None:
    """Bilinear with half-pixel centres, as PyTorch's ``align_corners=False``."""
    if size == output:
        return
    how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    none = np.zeros(0, np.float32)
    if output[0] % size[0] == output[1] % size[1] == 0:
        chain.add("Resize", none, np.array([1, 1, output[0] / size[0], output[1] / size[1]], np.float32), **how)
    else:
        chain.add("Resize", none, none, np.array([1, channels, *output], np.int64), **how)
