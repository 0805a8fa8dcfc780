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
    return _rewritten(model, sign, quantise_in_graph)


def typed_int8(model: bytes) -> bytes:
    """An int8 ONNX for versions that read the types."""
    return _rewritten(model, sign, halve)


def float16_onnx(model: bytes) -> bytes:
    """A float ONNX in fp16 for versions that read the types."""
    return _rewritten(model, halve)


def _rewritten(content: bytes, *steps: Callable[[Any], Any]) -> bytes:
    """An ONNX behind each of these steps; UsageError if a package that does it is missing."""
    model = _needed("onnx").load_from_string(content)
    for step in steps:
        model = step(model)
    rewritten: bytes = model.SerializeToString()
    return rewritten


def sign(model: Any) -> Any:
    """An int8 model, changed in place: uint8 activations become int8, in half as many steps, as TensorRT wants them."""
    graph = _needed("drivenet.onnx_graph").Graph(model.graph)
    for node in [node for node in graph.nodes if node.op_type in _LINEAR and len(node.input) > 2]:
        zero = node.input[2]
        if zero not in graph.tensors or graph.constant(zero).dtype != np.uint8:
            continue
        scale = graph.constant(node.input[1])
        scales = graph.add(f"{node.input[1]}_signed", (scale * np.float32(255 / 127)).astype(scale.dtype))
        graph.rewire(node, 1, scales, graph.add(f"{zero}_signed", np.zeros(scale.shape, np.int8)))
    for node in graph.nodes:
        if node.op_type == "QuantizeLinear":
            graph.forget_type(node.output[0])
    graph.write()
    return model


def halve(model: Any) -> Any:
    """A model with all its floats in fp16; uint8 input and output, int8 weights and the factors of a Resize stay."""
    versions, float16 = _needed("onnx.version_converter"), _needed("onnxruntime.transformers.float16")
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        model = versions.convert_version(model, _FP16_SCALES)
    _constants_to_initializers(model.graph)
    return float16.convert_float_to_float16(model, keep_io_types=True)


def quantise_in_graph(model: Any) -> Any:
    """An int8 model, changed in place: weights are float and quantised in the graph, as TensorRT 8 wants them.

    The scales stay, so that quantising gives the int8 values that the model holds. Of what ``drivenet export`` writes:
    scales and zero points of 0 are initializers.
    """
    helper, graph = _needed("onnx.helper"), _needed("drivenet.onnx_graph").Graph(model.graph)
    added: set[str] = set()
    for node in [n for n in graph.nodes if n.op_type == "DequantizeLinear" and n.input[0] in graph.tensors]:
        name, told = node.input[0], list(node.input[1:])
        graph.rewire(node, 0, f"{name}_again")
        if name in added:
            continue
        added.add(name)
        whole, factors = graph.constant(name), graph.constant(told[0])
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape = [-1 if i == axis % whole.ndim else 1 for i in range(whole.ndim)] if factors.ndim else []
        floats = np.asarray(whole.astype(np.float32) * factors.reshape(shape), np.float32)
        quantise = helper.make_node("QuantizeLinear", [graph.add(f"{name}_float", floats), *told], [f"{name}_again"])
        quantise.attribute.extend(node.attribute)
        graph.insert_before(graph.nodes[0], quantise)
    graph.write()
    return model


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
