"""Parameters and multiply-accumulates of an ONNX graph."""

from __future__ import annotations

import math

import onnx

Shape = tuple[int, ...]


def parameters(model: onnx.ModelProto) -> int:
    """Numbers in the float constants that convolutions and matrix products read, and their biases."""
    read = {name for node in model.graph.node if node.op_type in _COUNTED for name in node.input[1:]}
    return sum(math.prod(t.dims) for t in model.graph.initializer if t.name in read)


def gmac(model: onnx.ModelProto) -> float:
    """10^9 multiply-accumulates of convolutions and matrix products; 0 where a shape cannot be inferred."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {t.name: tuple(t.dims) for t in inferred.initializer}
    for port in [*inferred.value_info, *inferred.input, *inferred.output]:
        dims = [d.dim_value for d in port.type.tensor_type.shape.dim]
        if dims and all(dims):
            shapes[port.name] = tuple(dims)
    counts = [_macs(node, shapes) for node in inferred.node if node.op_type in _COUNTED]
    return sum(count for count in counts if count is not None) / 1e9 if None not in counts else 0.0


def _macs(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int | None:
    first, second, out = (shapes.get(name) for name in (node.input[0], node.input[1], node.output[0]))
    if first is None or second is None or out is None:
        return None
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    inner = first[-1]
    if node.op_type == "Gemm" and any(a.name == "transA" and a.i for a in node.attribute):
        inner = first[0]
    return math.prod(out) * inner


_COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
