"""Where activations are rounded to 8 bits, and in which steps; on the graph that ONNX Runtime's quantiser leaves."""

from __future__ import annotations

import numpy as np
from onnx import helper

from drivenet.onnx_graph import Graph, Node

#: Steps from 0 to the end of the range, of int8 and of uint8.
SIGNED_STEPS, STEPS = np.float32(127), np.float32(255)
#: What gives no value below 0 if it gets none.
_KEEPS_SIGN = ("Add", "Concat", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity", "Transpose",
               "QuantizeLinear", "DequantizeLinear")  # fmt: skip
#: Attributes of a Resize that may give such.
_OTHER_RESIZES = {b"cubic", b"tf_crop_and_resize"}


def round_after_activations(graph: Graph) -> None:
    """Move the rounding of what a ReLU or a clip reads behind it, in place, or drop it where there is one already.

    A range that holds what is clipped away costs steps, and rounding twice costs accuracy twice.
    """
    for activation in [node for node in graph.nodes if node.op_type in ("Relu", "Clip")]:
        pair = _rounding_before(graph, activation)
        if pair is None:
            continue
        quantise, _ = pair
        graph.rewire(activation, 0, quantise.input[0])
        graph.remove(*pair)
        if not any(node.op_type == "QuantizeLinear" for node in graph.readers(activation.output[0])):
            _put_behind(graph, activation, *pair)


def unsign(graph: Graph) -> None:
    """Round what is never below 0 in 255 steps instead of 127, in place: uint8 with a zero point of 0."""
    for quantise in [node for node in graph.nodes if node.op_type == "QuantizeLinear"]:
        zero = quantise.input[2] if len(quantise.input) > 2 else ""
        signed = zero in graph.tensors and graph.constant(zero).dtype == np.int8
        if not signed or not _positive(graph, quantise.input[0]):
            continue
        scale, name = graph.constant(quantise.input[1]), quantise.output[0]
        told = (
            graph.add(f"{name}_scale", (scale * (SIGNED_STEPS / STEPS)).astype(np.float32)),
            graph.add(f"{name}_zero", np.zeros(scale.shape, np.uint8)),
        )
        for node in (quantise, *graph.readers(name)):
            graph.rewire(node, 1, *told)
        graph.forget_type(name)


def average_floats(graph: Graph) -> None:
    """Put a clip to the range of what average pools read before them, in place: it changes nothing.

    ONNX Runtime would average the integers instead, which takes it many times as long.
    """
    for pool in reversed([node for node in graph.nodes if node.op_type == "AveragePool"]):
        dequantise = graph.maker(pool.input[0])
        if dequantise is None or dequantise.op_type != "DequantizeLinear":
            continue
        scale, zero = (graph.constant(name) for name in dequantise.input[1:])
        same = f"{pool.output[0]}_read"
        lowest = graph.add(f"{same}_lowest", np.asarray(np.iinfo(zero.dtype).min * scale, np.float32))
        graph.insert_before(pool, helper.make_node("Clip", [pool.input[0], lowest], [same], f"{same}/Clip"))
        graph.rewire(pool, 0, same)


def _rounding_before(graph: Graph, activation: Node) -> tuple[Node, Node] | None:
    """What rounds the input of an activation, and dequantises it for nothing else."""
    dequantise = graph.maker(activation.input[0])
    if dequantise is None or dequantise.op_type != "DequantizeLinear" or graph.only_reader(dequantise) is None:
        return None
    quantise = graph.maker(dequantise.input[0])
    return (quantise, dequantise) if quantise is not None and graph.only_reader(quantise) is not None else None


def _put_behind(graph: Graph, activation: Node, quantise: Node, dequantise: Node) -> None:
    """Round the result of an activation instead of its input; the range stays, but for what a clip takes."""
    result = activation.output[0]
    graph.redirect(result, dequantise.output[0])
    furthest = _furthest(graph, activation)
    if furthest > 0:
        narrowed = np.minimum(graph.constant(quantise.input[1]), np.float32(furthest) / SIGNED_STEPS)
        quantise.input[1] = dequantise.input[1] = graph.add(f"{result}_range", narrowed.astype(np.float32))
    quantise.input[0] = result
    graph.insert_after(activation, quantise, dequantise)


def _furthest(graph: Graph, activation: Node) -> float:
    """The largest absolute value that a clip between two constants lets through; 0 for anything else."""
    ends = [graph.constant(name) for name in activation.input[1:] if name in graph.tensors]
    return max(float(abs(end)) for end in ends) if len(ends) == 2 else 0.0


def _positive(graph: Graph, tensor: str) -> bool:
    """Whether no value of a tensor can be below 0."""
    if tensor in graph.tensors:
        return bool((graph.constant(tensor) >= 0).all())
    node = graph.maker(tensor)
    if node is None:
        return False
    if node.op_type in ("Relu", "Sigmoid", "HardSigmoid"):
        return True
    if node.op_type == "Clip" and len(node.input) > 1 and node.input[1] in graph.tensors:
        return float(graph.constant(node.input[1])) >= 0
    if node.op_type == "Resize" and _is_interpolation(node):
        return _positive(graph, node.input[0])
    read = node.input[:1] if node.op_type in ("QuantizeLinear", "DequantizeLinear") else node.input
    return node.op_type in _KEEPS_SIGN and all(_positive(graph, name) for name in read)


def _is_interpolation(resize: Node) -> bool:
    """Whether every result is a mean of values: cubic ones overshoot, and beyond a crop is another value."""
    return not {helper.get_attribute_value(a) for a in resize.attribute if a.type == a.STRING} & _OTHER_RESIZES
