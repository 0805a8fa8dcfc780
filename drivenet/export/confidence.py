"""Gives a deployed ONNX a second output: how sure it is of the class of every pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from drivenet.engine.onnxruntime.file import CONFIDENCE, OUTPUT
from drivenet.errors import UsageError
from drivenet.export.stored import check_target, load, store
from drivenet.modelspec import ModelSpec
from drivenet.onnx_graph import ends_in

#: Operator sets in which ReduceMax has its axes as attribute and ReduceSum as input.
_OPSETS = range(13, 18)
#: What makes scores that are probabilities.
_PROBABILITIES = ("Softmax", "Sigmoid")


def add_confidence(source: Path, out: Path) -> ModelSpec:
    """Write a deployed ONNX, float or int8, with ``confidence`` beside ``classes``. The ids stay what they were.

    Args:
        source: an ONNX that drivenet wrote.
        out: ``*.onnx``; the spec, which says that it gives confidence, goes inside and beside it as ``*.json``.

    Raises:
        UsageError: for another suffix, or a model that has a confidence already or no argmax at its end.
        ModelSpecError: if the model holds no spec.
        SinkError: if nothing can be written there.
    """
    check_target(out)
    model, spec = load(source)
    if spec.confidence:
        raise UsageError(f"{source} gives confidence already", "an ONNX without it")
    append_confidence(model, str(source))
    spec = spec.model_copy(update={"name": out.stem, "confidence": True})
    store(model, spec, out)
    return spec


def append_confidence(model: onnx.ModelProto, where: str) -> None:
    """Add the output to a graph in place: round(255 / sum over classes of exp(logit - highest logit)).

    That is 255 times the softmax probability of the class that the argmax takes; where the scores are probabilities
    already, it is 255 times the highest. As with the ids, the cast to uint8 is the last step and is from float:
    TensorRT 8 knows no other.

    Args:
        model: with one ArgMax over the logits, which makes ``classes``, uint8 (1, H', W').
        where: how messages name it.

    Raises:
        UsageError: for a graph without such an end, ids that are resized behind it, or of an operator set that is
            written otherwise.
    """
    graph = model.graph
    found = [node for node in graph.node if node.op_type == "ArgMax"]
    version = next((opset.version for opset in model.opset_import if not opset.domain), 0)
    if len(found) != 1 or version not in _OPSETS:
        told = f"{where} has {len(found)} ArgMax nodes and opset {version}"
        raise UsageError(told, "one, and opset 13 to 17", "export the model again")
    axis = next((int(a.i) for a in found[0].attribute if a.name == "axis"), 0)
    classes = next(output for output in graph.output if output.name == OUTPUT)
    shape = [dim.dim_value for dim in classes.type.tensor_type.shape.dim]
    scores = _shape_of(model, found[0].input[0])
    if scores and [size for place, size in enumerate(scores) if place != axis % len(scores)] != shape:
        raise UsageError(f"{where} gives ids {shape} of an argmax over scores {scores}", "ids of the scores' size",
                         "import the model with its scores as output")  # fmt: skip
    graph.node.extend(_tail(found[0].input[0], axis, ends_in(model, found[0].input[0], *_PROBABILITIES)))
    graph.initializer.append(numpy_helper.from_array(np.array([axis], np.int64), f"{CONFIDENCE}/axes"))
    graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), f"{CONFIDENCE}/scale"))
    others = list(graph.output)[1:]  # maps of things, which come after it
    del graph.output[1:]
    graph.output.extend([helper.make_tensor_value_info(CONFIDENCE, TensorProto.UINT8, shape), *others])


def _shape_of(model: onnx.ModelProto, tensor: str) -> list[int]:
    """Empty where it cannot be told."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    known = next((value for value in graph.value_info if value.name == tensor), None)
    sizes = [dim.dim_value for dim in known.type.tensor_type.shape.dim] if known else []
    return sizes if all(sizes) else []


def _tail(scores: str, axis: int, probable: bool) -> list[onnx.NodeProto]:
    """From the scores to ``confidence``; ``probable`` if they are probabilities."""
    if probable:
        return _nodes(
            ("ReduceMax", [scores], "share", {"axes": [axis], "keepdims": 0}),
            ("Mul", [f"{CONFIDENCE}/share", f"{CONFIDENCE}/scale"], "whole", {}),
            ("Round", [f"{CONFIDENCE}/whole"], "rounded", {}),
            ("Cast", [f"{CONFIDENCE}/rounded"], "", {"to": TensorProto.UINT8}),
        )
    return _nodes(
        ("ReduceMax", [scores], "highest", {"axes": [axis], "keepdims": 1}),
        ("Sub", [scores, f"{CONFIDENCE}/highest"], "below", {}),
        ("Exp", [f"{CONFIDENCE}/below"], "odds", {}),
        ("ReduceSum", [f"{CONFIDENCE}/odds", f"{CONFIDENCE}/axes"], "sum", {"keepdims": 0}),
        ("Div", [f"{CONFIDENCE}/scale", f"{CONFIDENCE}/sum"], "share", {}),
        ("Round", [f"{CONFIDENCE}/share"], "rounded", {}),
        ("Cast", [f"{CONFIDENCE}/rounded"], "", {"to": TensorProto.UINT8}),
    )


def _nodes(*steps: tuple[str, list[str], str, dict[str, Any]]) -> list[onnx.NodeProto]:
    """Kind, inputs, name of the output, empty for the last one, and attributes of each."""
    return [
        helper.make_node(kind, inputs, [f"{CONFIDENCE}/{name}" if name else CONFIDENCE], f"{CONFIDENCE}/{kind}", **more)
        for kind, inputs, name, more in steps
    ]
