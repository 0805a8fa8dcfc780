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

#: Operator sets in which ReduceMax has its axes as attribute and ReduceSum as input.
_OPSETS = range(13, 18)


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

    That is 255 times the softmax probability of the class that the argmax takes. As with the ids, the cast to uint8
    is the last step and is from float: TensorRT 8 knows no other.

    Args:
        model: with one ArgMax over the logits, which makes ``classes``, uint8 (1, H', W').
        where: how messages name it.

    Raises:
        UsageError: for a graph without such an end, or of an operator set that is written otherwise.
    """
    graph = model.graph
    found = [node for node in graph.node if node.op_type == "ArgMax"]
    version = next((opset.version for opset in model.opset_import if not opset.domain), 0)
    if len(found) != 1 or version not in _OPSETS:
        told = f"{where} has {len(found)} ArgMax nodes and opset {version}"
        raise UsageError(told, "one, and opset 13 to 17", "export the model again")
    axis = next((int(a.i) for a in found[0].attribute if a.name == "axis"), 0)
    graph.node.extend(_tail(found[0].input[0], axis))
    graph.initializer.append(numpy_helper.from_array(np.array([axis], np.int64), f"{CONFIDENCE}/axes"))
    graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), f"{CONFIDENCE}/scale"))
    classes = next(output for output in graph.output if output.name == OUTPUT)
    shape = [dim.dim_value for dim in classes.type.tensor_type.shape.dim]
    others = list(graph.output)[1:]  # maps of things, which come after it
    del graph.output[1:]
    graph.output.extend([helper.make_tensor_value_info(CONFIDENCE, TensorProto.UINT8, shape), *others])


def _tail(logits: str, axis: int) -> list[onnx.NodeProto]:
    """From the logits to ``confidence``."""
    steps: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
        ("ReduceMax", [logits], "highest", {"axes": [axis], "keepdims": 1}),
        ("Sub", [logits, f"{CONFIDENCE}/highest"], "below", {}),
        ("Exp", [f"{CONFIDENCE}/below"], "odds", {}),
        ("ReduceSum", [f"{CONFIDENCE}/odds", f"{CONFIDENCE}/axes"], "sum", {"keepdims": 0}),
        ("Div", [f"{CONFIDENCE}/scale", f"{CONFIDENCE}/sum"], "share", {}),
        ("Round", [f"{CONFIDENCE}/share"], "rounded", {}),
        ("Cast", [f"{CONFIDENCE}/rounded"], "", {"to": TensorProto.UINT8}),
    )
    return [
        helper.make_node(kind, inputs, [f"{CONFIDENCE}/{name}" if name else CONFIDENCE], f"{CONFIDENCE}/{kind}", **more)
        for kind, inputs, name, more in steps
    ]
