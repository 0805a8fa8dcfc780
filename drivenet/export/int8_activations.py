"""Where activations are rounded to 8 bits, and in which steps; on the graph that ONNX Runtime's quantiser leaves."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: Steps from 0 to the end of the range, of int8 and of uint8.
SIGNED_STEPS, STEPS = np.float32(127), np.float32(255)
#: What gives no value below 0 if it gets none.
_KEEPS_SIGN = ("Add", "Concat", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity", "Transpose",
               "QuantizeLinear", "DequantizeLinear")  # fmt: skip
#: Attributes of a Resize that may give such.
_OTHER_RESIZES = {b"cubic", b"tf_crop_and_resize"}


def round_after_activations(graph: onnx.GraphProto) -> None:
    """Move the rounding of what a ReLU or a clip reads behind it, in place, or drop it where there is one already.

    A range that holds what is clipped away costs steps, and rounding twice costs accuracy twice.
    """
    for activation in [node for node in graph.node if node.op_type in ("Relu", "Clip")]:
        pair = _rounding_before(graph, activation)
        if pair is None:
            continue
        quantise, dequantise = pair
        activation.input[0] = quantise.input[0]
        graph.node.remove(quantise)
        graph.node.remove(dequantise)
        known = list(quantise.input[1:])
        if not any(node.op_type == "QuantizeLinear" for node in _readers(graph, activation.output[0])):
            _put_behind(graph, activation, quantise, dequantise)
        _drop_unread(graph, known)


def unsign(graph: onnx.GraphProto) -> None:
    """Round what is never below 0 in 255 steps instead of 127, in place: uint8 with a zero point of 0."""
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for quantise in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        zero = constants.get(quantise.input[2]) if len(quantise.input) > 2 else None
        if zero is None or zero.data_type != TensorProto.INT8 or not _positive(quantise.input[0], made_by, constants):
            continue
        scale = numpy_helper.to_array(constants[quantise.input[1]])
        name = quantise.output[0]
        graph.initializer.append(
            numpy_helper.from_array((scale * (SIGNED_STEPS / STEPS)).astype(np.float32), f"{name}_scale")
        )
        graph.initializer.append(numpy_helper.from_array(np.zeros(scale.shape, np.uint8), f"{name}_zero"))
        known = list(quantise.input[1:])
        for node in (quantise, *_readers(graph, name)):
            node.input[1:] = [f"{name}_scale", f"{name}_zero"]
        _drop_unread(graph, known)
        _forget_type(graph, name)


def average_floats(graph: onnx.GraphProto) -> None:
    """Put a clip to the range of what average pools read before them, in place: it changes nothing.

    ONNX Runtime would average the integers instead, which takes it many times as long.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for place, pool in reversed([(i, node) for i, node in enumerate(graph.node) if node.op_type == "AveragePool"]):
        dequantise = made_by.get(pool.input[0])
        if dequantise is None or dequantise.op_type != "DequantizeLinear":
            continue
        scale, zero = (numpy_helper.to_array(constants[name]) for name in dequantise.input[1:])
        lowest, same = np.asarray(np.iinfo(zero.dtype).min * scale, np.float32), f"{pool.output[0]}_read"
        graph.initializer.append(numpy_helper.from_array(lowest, f"{same}_lowest"))
        graph.node.insert(place, helper.make_node("Clip", [pool.input[0], f"{same}_lowest"], [same], f"{same}/Clip"))
        pool.input[0] = same


def _rounding_before(
    graph: onnx.GraphProto, activation: onnx.NodeProto
) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
    """What rounds the input of an activation, and dequantises it for nothing else."""
    made_by = {name: node for node in graph.node for name in node.output}
    dequantise = made_by.get(activation.input[0])
    given = {output.name for output in graph.output}
    if dequantise is None or dequantise.op_type != "DequantizeLinear" or dequantise.output[0] in given:
        return None
    quantise = made_by.get(dequantise.input[0])
    alone = len(list(_readers(graph, dequantise.output[0]))) == 1
    if quantise is None or not alone or len(list(_readers(graph, quantise.output[0]))) > 1:
        return None
    return quantise, dequantise


def _put_behind(
    graph: onnx.GraphProto, activation: onnx.NodeProto, quantise: onnx.NodeProto, dequantise: onnx.NodeProto
) -> None:
    """Round the result of an activation instead of its input; the range stays, but for what a clip takes."""
    result = activation.output[0]
    for node in list(_readers(graph, result)):
        node.input[:] = [dequantise.output[0] if name == result else name for name in node.input]
    furthest = _furthest(graph, activation)
    if furthest > 0:
        constants = {tensor.name: tensor for tensor in graph.initializer}
        scale = numpy_helper.to_array(constants[quantise.input[1]])
        name = f"{result}_range"
        narrowed = np.minimum(scale, np.float32(furthest) / SIGNED_STEPS).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(narrowed, name))
        quantise.input[1] = dequantise.input[1] = name
    quantise.input[0] = result
    place = list(graph.node).index(activation) + 1
    graph.node.insert(place, dequantise)
    graph.node.insert(place, quantise)


def _furthest(graph: onnx.GraphProto, activation: onnx.NodeProto) -> float:
    """The largest absolute value that a clip between two constants lets through; 0 for anything else."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    ends = [constants[name] for name in activation.input[1:] if name in constants]
    return max(float(abs(numpy_helper.to_array(end))) for end in ends) if len(ends) == 2 else 0.0


def _positive(tensor: str, made_by: dict[str, onnx.NodeProto], constants: dict[str, onnx.TensorProto]) -> bool:
    """Whether no value of a tensor can be below 0."""
    if tensor in constants:
        return bool((numpy_helper.to_array(constants[tensor]) >= 0).all())
    node = made_by.get(tensor)
    if node is None:
        return False
    if node.op_type in ("Relu", "Sigmoid", "HardSigmoid"):
        return True
    if node.op_type == "Clip" and len(node.input) > 1 and node.input[1] in constants:
        return float(numpy_helper.to_array(constants[node.input[1]])) >= 0
    if node.op_type == "Resize" and _is_interpolation(node):
        return _positive(node.input[0], made_by, constants)
    read = node.input[:1] if node.op_type in ("QuantizeLinear", "DequantizeLinear") else node.input
    return node.op_type in _KEEPS_SIGN and all(_positive(name, made_by, constants) for name in read)


def _is_interpolation(resize: onnx.NodeProto) -> bool:
    """Whether every result is a mean of values: cubic ones overshoot, and beyond a crop is another value."""
    return not {helper.get_attribute_value(a) for a in resize.attribute if a.type == a.STRING} & _OTHER_RESIZES


def _readers(graph: onnx.GraphProto, tensor: str) -> Iterator[onnx.NodeProto]:
    return (node for node in graph.node if tensor in node.input)


def _drop_unread(graph: onnx.GraphProto, constants: Collection[str]) -> None:
    """Remove what no node reads any more of these."""
    for tensor in [one for one in graph.initializer if one.name in constants]:
        if not any(_readers(graph, tensor.name)):
            graph.initializer.remove(tensor)


def _forget_type(graph: onnx.GraphProto, tensor: str) -> None:
    for known in [value for value in graph.value_info if value.name == tensor]:
        graph.value_info.remove(known)
