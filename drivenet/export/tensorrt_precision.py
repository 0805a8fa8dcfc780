"""How each TensorRT is told the precision: by flags where it has them, else by the types in the ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drivenet.errors import UsageError

#: Builder flags of each precision. An int8 network's other layers may use fp16.
_FLAGS = {"fp32": (), "fp16": ("FP16",), "bf16": ("BF16",), "int8": ("INT8", "FP16")}

#: The first opset whose QuantizeLinear has fp16 scales; what cannot be told by flags is newer than 8.5 and reads it.
_FP16_SCALES = 19


@dataclass(frozen=True)
class Typing:
    """What a build needs for a precision.

    Args:
        network_flags: bits for ``create_network``.
        builder_flags: names to set in the configuration.
        convert: whether the ONNX's floats must become fp16 before it is parsed; int8 stays int8.
    """

    network_flags: int
    builder_flags: tuple[str, ...]
    convert: bool = False


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
        return Typing(batch, _FLAGS[precision])
    return Typing(batch | _bit(creation, "STRONGLY_TYPED"), (), convert=precision in ("fp16", "int8"))


def float16_onnx(model: bytes) -> bytes:
    """An ONNX with all its floats in fp16; uint8 input and output, int8 weights and the factors of a Resize stay.

    Raises:
        UsageError: if the package onnx, which does it, is missing.
    """
    try:
        import onnx.version_converter
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        told = f"this TensorRT reads precision from the ONNX, and {error.name} is missing to convert it"
        raise UsageError(told, cure="pip install onnx") from error
    loaded = onnx.load_from_string(model)
    if any(node.op_type == "QuantizeLinear" for node in loaded.graph.node):
        loaded = onnx.version_converter.convert_version(loaded, _FP16_SCALES)
    _constants_to_initializers(loaded.graph)
    converted: bytes = convert_float_to_float16(loaded, keep_io_types=True).SerializeToString()
    return converted


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
