"""How each TensorRT is told the precision: by flags where it has them, else by the types in the ONNX."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivenet.errors import UsageError

#: Builder flags of each precision. An int8 network's other layers may use fp16.
_FLAGS = {"fp32": (), "fp16": ("FP16",), "bf16": ("BF16",), "int8": ("INT8", "FP16")}

_LINEAR = ("QuantizeLinear", "DequantizeLinear")
#: The first opset whose QuantizeLinear has fp16 scales; what cannot be told by flags is newer than 8.5 and reads it.
_FP16_SCALES = 19


def as_it_is(model: bytes) -> bytes:
    """An ONNX that need not be changed."""
    return model


@dataclass(frozen=True)
class Typing:
    """What a build needs for a precision.

    Args:
        network_flags: bits for ``create_network``.
        builder_flags: names to set in the configuration.
        rewrite: what the ONNX goes through before it is parsed.
    """

    network_flags: int
    builder_flags: tuple[str, ...]
    rewrite: Callable[[bytes], bytes] = as_it_is


def typing_of(trt: Any, precision: str) -> Typing:
    """Decide by what this TensorRT has: 8.5 and 10 take flags, 11 has none and reads the types in the ONNX.

    Raises:
        UsageError: for a precision that it cannot be told.
    """
    creation = trt.NetworkDefinitionCreationFlag
    # 8.5 parses ONNX only with it, 10 ignores it, 11 no longer has it
    batch = _bit(creation, "EXPLICIT_BATCH")
    flagged = hasattr(trt.BuilderFlag, "FP16")
    known = [p for p, flags in _FLAGS.items() if all(hasattr(trt.BuilderFlag, flag) for flag in flags)]
    choice = known if flagged else ["fp32", "fp16", "int8"]
    if precision not in choice:
        raise UsageError(f"precision {precision} with TensorRT {trt.__version__}", " or ".join(choice))
    if flagged:
        return Typing(batch, _FLAGS[precision], flagged_int8 if precision == "int8" else as_it_is)
    typed = batch | _bit(creation, "STRONGLY_TYPED")
    return Typing(typed, (), {"fp16": float16_onnx, "int8": typed_int8}.get(precision, as_it_is))


def flagged_int8(model: bytes) -> bytes:
    """An int8 ONNX for versions with flags."""
    return float_weights_onnx(signed_onnx(model))


def typed_int8(model: bytes) -> bytes:
    """An int8 ONNX for versions that read the types."""
    return float16_onnx(signed_onnx(model))


def signed_onnx(model: bytes) -> bytes:
    """An int8 ONNX whose uint8 activations are int8, in half as many steps: TensorRT takes no others.

    Raises:
        UsageError: if the package onnx, which does it, is missing.
    """
    onnx = _needed("onnx")
    loaded = onnx.load_from_string(model)
    graph = loaded.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        zero = stored.get(node.input[2]) if node.op_type in _LINEAR and len(node.input) > 2 else None
        if zero is None or zero.data_type != onnx.TensorProto.UINT8:
            continue
        names = [f"{name}_signed" for name in node.input[1:]]
        if names[0] not in stored:
            scale = onnx.numpy_helper.to_array(stored[node.input[1]])
            wider = (scale * np.float32(255 / 127)).astype(scale.dtype)
            for name, values in zip(names, (wider, np.zeros(scale.shape, np.int8)), strict=True):
                stored[name] = onnx.numpy_helper.from_array(values, name)
                graph.initializer.append(stored[name])
        node.input[1:] = names
    rounded = {name for node in graph.node if node.op_type == "QuantizeLinear" for name in node.output}
    for known in [value for value in graph.value_info if value.name in rounded]:
        graph.value_info.remove(known)
    rewritten: bytes = loaded.SerializeToString()
    return rewritten


def float16_onnx(model: bytes) -> bytes:
    """An ONNX with all its floats in fp16; uint8 input and output, int8 weights and the factors of a Resize stay.

    Raises:
        UsageError: if the package onnx, which does it, is missing.
    """
    onnx, versions = _needed("onnx"), _needed("onnx.version_converter")
    float16 = _needed("onnxruntime.transformers.float16")
    loaded = onnx.load_from_string(model)
    if any(node.op_type == "QuantizeLinear" for node in loaded.graph.node):
        loaded = versions.convert_version(loaded, _FP16_SCALES)
    _constants_to_initializers(loaded.graph)
    converted: bytes = float16.convert_float_to_float16(loaded, keep_io_types=True).SerializeToString()
    return converted


def float_weights_onnx(model: bytes) -> bytes:
    """An int8 ONNX whose weights are float and quantised in the graph: TensorRT 8 takes no others.

    The scales stay, so that quantising gives the int8 values that the ONNX holds. Of what ``drivenet export`` writes:
    scales and zero points of 0 are initializers.

    Raises:
        UsageError: if the package onnx, which does it, is missing.
    """
    onnx = _needed("onnx")
    loaded = onnx.load_from_string(model)
    graph = loaded.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    added: dict[str, Any] = {}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in stored:
            continue
        name, factors = node.input[0], onnx.numpy_helper.to_array(stored[node.input[1]])
        node.input[0] = f"{name}_again"
        if name in added:
            continue
        whole = onnx.numpy_helper.to_array(stored[name])
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape = [-1 if i == axis % whole.ndim else 1 for i in range(whole.ndim)] if factors.ndim else []
        floats = np.asarray(whole.astype(np.float32) * factors.reshape(shape), np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(floats, f"{name}_float"))
        added[name] = onnx.helper.make_node("QuantizeLinear", [f"{name}_float", *node.input[1:]], [f"{name}_again"])
        added[name].attribute.extend(node.attribute)
    read = {name for node in graph.node for name in node.input}
    for name, quantised in added.items():
        if name not in read:
            graph.initializer.remove(stored[name])
        graph.node.insert(0, quantised)
    rewritten: bytes = loaded.SerializeToString()
    return rewritten


def _needed(module: str) -> Any:
    """A module; UsageError with the cure where its package is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        told = f"this TensorRT needs the ONNX in another form, and {error.name} is missing to convert it"
        raise UsageError(told, cure="pip install onnx") from error


def _constants_to_initializers(graph: Any) -> None:
    """The conversion keeps the factors of a Resize in fp32 as initializers only, as which alone TensorRT takes them."""
    constants = [n for n in graph.node if n.op_type == "Constant" and [a.name for a in n.attribute] == ["value"]]
    for node in constants:
        tensor = graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        graph.node.remove(node)


def _bit(flags: Any, name: str) -> int:
    return 1 << int(getattr(flags, name)) if hasattr(flags, name) else 0
