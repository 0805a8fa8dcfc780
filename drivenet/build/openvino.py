"""Builds an OpenVINO artefact: the ONNX as OpenVINO's own files, which load without the ONNX reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from drivenet.build.request import BuildRequest, Product
from drivenet.engine.openvino.model import import_openvino, machine, reason
from drivenet.errors import EngineError, UsageError
from drivenet.host.cpu_features import native_precisions, needed_for


def build_openvino(request: BuildRequest, precision: str, target: Path) -> Product:
    """Write ``target`` (.xml) and its weights (.bin).

    The files keep full precision; what the layers compute in is set when they are compiled at load. Layers that an
    int8 network leaves in float compute in bf16 where the processor has it, unless the request says fp32.

    Raises:
        UsageError: for a precision that this processor does not have.
        EngineError: if OpenVINO is missing or cannot take the ONNX.
    """
    openvino = import_openvino()
    native = native_precisions()
    floats = request.option("floats") or ("bf16" if "bf16" in native else "fp32")
    for asked in {precision, floats} if precision == "int8" else {precision}:
        if asked not in native:
            told = f"precision {asked} on a processor without {needed_for(asked)}"
            raise UsageError(told, " or ".join(native), f"run {request.onnx} with --backend onnxruntime")
    try:
        model = openvino.Core().read_model(str(request.onnx))
        quantise_repeated_once(model)
        round_behind_concatenations(model)
        openvino.save_model(model, str(target), compress_to_fp16=False)
        if "bf16" in (precision, floats if precision == "int8" else ""):
            keep_first_depthwise(target)
    except Exception as error:  # OpenVINO raises plain RuntimeError and more
        raise EngineError(f"OpenVINO cannot build {request.onnx}: {reason(error)}") from error
    options = {"floats": floats} if precision == "int8" else {}
    return Product((target, target.with_suffix(".bin")), machine(), options=options)


def keep_first_depthwise(file: Path) -> None:
    """Have the first depth-wise convolution of a model compute in fp32 where the others do in bf16.

    What it rounds goes through the whole network, and it sums few products: with an EfficientNet-Lite two in three of
    the pixels that bf16 changes are changed by it alone.

    Args:
        file: OpenVINO's ``.xml``; ``precise`` is its own mark, and other layers keep what they have.
    """
    tree = ElementTree.parse(file)
    layer = next((one for one in tree.iter("layer") if one.get("type") == "GroupConvolution"), None)
    if layer is None:
        return
    marks = layer.find("rt_info")
    if marks is None:
        marks = ElementTree.Element("rt_info")
        layer.insert(1 if layer.find("data") is not None else 0, marks)
    ElementTree.SubElement(marks, "attribute", {"name": "precise", "version": "0"})
    tree.write(file, encoding="utf-8", xml_declaration=True)


def quantise_repeated_once(model: Any) -> None:
    """Without the rounding after a tensor is concatenated with itself: what goes in was rounded to the same steps.

    OpenVINO would round every copy again. The ONNX has it for TensorRT, which wants both sides of a layer in int8.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Concat" or len({source.get_node() for source in node.input_values()}) > 1:
            continue
        before, after = _rounding(node, up=True), _rounding(node, up=False)
        if before and after and _range(before[0]) == _range(after[0]):
            after[-1].output(0).replace(node.output(0))


def round_behind_concatenations(model: Any) -> None:
    """Have what is concatenated rounded to signed steps behind that, not before.

    OpenVINO would round each side by itself instead, and the convolution behind sums wrongly then (2025.0 to 2026.4,
    AVX-512): of the pixels of a U-Net 22 % were as in float, and are 96 %. It looks for the two side by side; so a
    PReLU is between that leaves all as it is, and takes no time.
    """
    prelu = import_openvino().opset8.prelu
    for node in model.get_ordered_ops():
        for port in list(node.output(0).get_target_inputs()) if node.get_type_name() == "Concat" else []:
            rounding = port.get_node()
            if rounding.get_type_name() == "FakeQuantize" and min(_range(rounding)[0]) < 0:
                port.replace_source_output(prelu(node.output(0), np.ones(1, np.float32)).output(0))


def _rounding(node: Any, up: bool) -> list[Any]:
    """The FakeQuantize next to a node and what dequantises it, in this order; empty where there is something else."""
    found: list[Any] = []
    while not found or found[-1].get_type_name() != ("FakeQuantize" if up else "Multiply"):
        readers = node.output(0).get_target_inputs()
        if len(readers) != 1 and not up:
            return []
        node = node.input_value(0).get_node() if up else next(iter(readers)).get_node()
        if node.get_type_name() not in ("FakeQuantize", "Convert", "Subtract", "Multiply"):
            return []
        found.append(node)
    return found[::-1] if up else found


def _range(rounding: Any) -> list[list[float]]:
    """The four bounds of a FakeQuantize."""
    return [source.get_node().get_vector().tolist() for source in rounding.input_values()[1:]]
