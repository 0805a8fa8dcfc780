"""Biases that undo what rounded weights shift, on average (Nagel et al., "Data-free quantization", ICCV 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from drivenet.engine.onnxruntime.file import CPU
from drivenet.onnx_graph import Graph, Node

Floats = npt.NDArray[np.floating]


def channel_means(model: onnx.ModelProto, frames: Sequence[npt.NDArray[np.uint8]]) -> dict[str, Floats]:
    """The mean of every channel of what the convolutions of images read, (C,) by tensor.

    Args:
        model: a float one; stays as it is.
        frames: (1, H, W, 3) uint8 of its input.
    """
    planar = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 4}
    names = sorted({n.input[0] for n in model.graph.node if n.op_type == "Conv" and n.input[1] in planar})
    wanted = onnx.ModelProto()
    wanted.CopyFrom(model)
    del wanted.graph.output[:]
    wanted.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = ort.InferenceSession(wanted.SerializeToString(), providers=CPU)
    sums = [np.zeros(1)] * len(names)
    for frame in frames:
        sums = [s + found.mean((0, 2, 3)) for s, found in zip(sums, session.run(names, {"frame": frame}), strict=True)]
    return {name: total / len(frames) for name, total in zip(names, sums, strict=True)}


def correct_biases(graph: Graph, floats: onnx.GraphProto, means: Mapping[str, Floats]) -> None:
    """Take from the bias of each int8 convolution what its rounded weights add to the mean of its output, in place.

    Args:
        graph: in QDQ, with biases in float; its convolutions have the names of the float graph.
        floats: before.
        means: as :func:`channel_means` gives them.
    """
    before = Graph(floats)
    convolutions = {node.name: node for node in before.nodes if node.op_type == "Conv"}
    for node, linear in _int8_convolutions(graph):
        was = convolutions[node.name]
        if was.input[0] not in means:
            continue
        steps, scales = (graph.constant(name) for name in linear.input[:2])
        error = steps * scales.reshape(-1, 1, 1, 1) - before.constant(was.input[1])
        shifted = graph.constant(node.input[2]) - _shift(error, means[was.input[0]])
        graph.add(node.input[2], shifted.astype(np.float32))


def _int8_convolutions(graph: Graph) -> Iterator[tuple[Node, Node]]:
    """Those with constant weights and a constant bias of their own, and what makes floats of their weights."""
    for node in graph.nodes:
        bias = node.input[2] if node.op_type == "Conv" and len(node.input) > 2 else ""
        linear = graph.maker(node.input[1]) if bias in graph.tensors and graph.readers(bias) == [node] else None
        if linear is not None and linear.op_type == "DequantizeLinear" and linear.input[0] in graph.tensors:
            yield node, linear


def _shift(error: Floats, means: Floats) -> Floats:
    """What weights that are off by so much add to each output channel, (C_out,), borders not counted.

    Args:
        error: (C_out, C_in / groups, h, w).
        means: (C_in,) of the input's channels.
    """
    outputs, inputs = error.shape[:2]
    groups = len(means) // inputs
    read = means.reshape(groups, inputs).repeat(outputs // groups, 0)
    return np.asarray((error.sum((2, 3)) * read).sum(1))
