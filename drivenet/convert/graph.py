"""Reads an ONNX from elsewhere and normalises it for the surgery: one file, fp32, one output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, compose, inliner, numpy_helper, version_converter

from drivenet.errors import UsageError
from drivenet.onnx_graph import bodies, fill, keep_used_domains, reads

#: The oldest that is read, and the oldest that can be quantised, which an older one is raised to if that works.
OLDEST, RAISED = 11, 13
#: In front of every name of the original, so that none meets a name of ours.
PREFIX = "imported/"
_TYPE_ATTRIBUTES = {"Cast": "to", "EyeLike": "dtype", "RandomNormal": "dtype", "RandomUniform": "dtype"}


def read(file: Path) -> onnx.ModelProto:
    """The model with its external data, its functions inlined.

    Raises:
        UsageError: for a file that is missing, no ONNX, or lacks its external data, or one of a too old opset.
    """
    try:
        model = onnx.load(file)
        _check_inputs(model.graph, file)
        if any(not port.type.tensor_type.HasField("shape") for port in model.graph.output):
            model = onnx.shape_inference.infer_shapes(model)  # some exporters leave it to the runtime
        onnx.checker.check_model(model)
    except UsageError:
        raise
    except Exception as error:  # protobuf, onnx and the file system have no base class in common
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        cure = "copy the .data file beside it" if "xternal" in str(error) or ".data" in str(error) else ""
        raise UsageError(f"cannot read {file}: {reason}", "an ONNX file", cure) from error
    version = opset(model)
    if version < OLDEST:
        raise UsageError(
            f"{file} is of opset {version}", f"{OLDEST} or newer", f"export it with opset {RAISED} or newer"
        )
    return inliner.inline_local_functions(model) if model.functions else model


def _check_inputs(graph: onnx.GraphProto, file: Path) -> None:
    """UsageError for an input without axes: nothing else says what it takes."""
    for port in graph.input:
        if not port.type.tensor_type.HasField("shape"):
            raise UsageError(f"the input {port.name} of {file} has no shape", "axes, as 1x3x512x1024",
                             "export it with the shape of its input")  # fmt: skip


def opset(model: onnx.ModelProto) -> int:
    """The version of the standard operators."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def normal_form(model: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """A copy with an opset that can be quantised, fp32 weights, the one output, prefixed names."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    del copy.graph.value_info[:]
    _drop_listed_constants(copy.graph)
    if opset(copy) < RAISED:
        copy = _raised(copy)
    to_single(copy.graph)
    prune(copy.graph, output)
    copy = compose.add_prefix(copy, PREFIX)
    keep_used_domains(copy)
    return copy


def _drop_listed_constants(graph: onnx.GraphProto) -> None:
    """Old exporters list the weights among the inputs, where nothing may rely on their values."""
    constants = {tensor.name for tensor in graph.initializer}
    kept = [port for port in graph.input if port.name not in constants]
    del graph.input[:]
    graph.input.extend(kept)


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """At an opset that knows scales by channel; as it is where an operator cannot be converted."""
    try:
        return version_converter.convert_version(model, RAISED)
    except Exception:  # noqa: BLE001 - the converter raises what it likes; the comparison shows whether it matters
        return model


def prune(graph: onnx.GraphProto, output: str) -> None:
    """Leave one output and what it needs, in place."""
    needed, kept = {output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= reads(node)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    ports = [port for port in graph.output if port.name == output]
    for field, rest in ((graph.node, kept[::-1]), (graph.initializer, tensors), (graph.output, ports)):
        fill(field, rest)


def to_single(graph: onnx.GraphProto) -> None:
    """Half-precision constants, casts and ports as single precision, in place: processors compute in that anyway."""
    for tensor in graph.initializer:
        _single(tensor)
    for port in [*graph.input, *graph.output]:
        if port.type.tensor_type.elem_type == TensorProto.FLOAT16:
            port.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _single(attribute.t)
            elif attribute.name == _TYPE_ATTRIBUTES.get(node.op_type) and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for body in bodies(graph.node):
        to_single(body)


def _single(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
