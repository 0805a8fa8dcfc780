"""Rewrites the end of a parsed network so that TensorRT gives uint8, and finds the best class quickly.

TensorRT 8.5 makes uint8 from float only, at the very end; and its ArgMax is a TopK, which some GPUs are slow at. A
chain of comparisons over the classes computes the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from drivenet.errors import EngineError

#: Ways to find the class with the highest score; of equal scores both take the lowest class.
ARGMAX = ("topk", "select")


def rewrite_end(trt: Any, network: Any, classes: int, argmax: str) -> list[Any]:
    """Make the last step a cast from float to uint8, and lower the ArgMax.

    Args:
        trt: the TensorRT package.
        network: as parsed from the deployed ONNX.
        classes: how many.
        argmax: one of :data:`ARGMAX`.

    Returns:
        Arrays that must live until the engine is built: TensorRT keeps only their addresses.

    Raises:
        EngineError: for a network without the ArgMax of a deployed graph.
    """
    topk = _find_topk(trt, network)
    logits = topk.get_input(0)
    axis = int(topk.axes).bit_length() - 1
    if tuple(logits.shape)[axis] != classes:
        raise EngineError(f"the network's ArgMax is over {tuple(logits.shape)[axis]} scores", f"{classes} classes")
    keep: list[Any] = []
    if argmax == "topk":
        ids = _cast(trt, network, topk.get_output(1), trt.DataType.FLOAT)
    else:
        ids = _compare_chain(trt, network, logits, axis, classes, keep)
    _give(trt, network, ids)
    return keep


def _layers(network: Any) -> list[Any]:
    return [network.get_layer(i) for i in range(network.num_layers)]


def _find_topk(trt: Any, network: Any) -> Any:
    found = [layer for layer in _layers(network) if layer.type == trt.LayerType.TOPK]
    if len(found) != 1:
        raise EngineError(f"the network has {len(found)} ArgMax layers", "one, at its end", "export the model again")
    topk = found[0]
    topk.__class__ = trt.ITopKLayer  # the bindings hand out the base class
    return topk


def _compare_chain(trt: Any, network: Any, logits: Any, axis: int, classes: int, keep: list[Any]) -> Any:
    """Class ids as float: keep the best score and its class while going through the classes."""
    shape = [1 if i == axis else int(n) for i, n in enumerate(logits.shape)]
    operation = trt.ElementWiseOperation
    best = _channel(network, logits, axis, 0, shape)
    ids = _constant(trt, network, len(shape), 0, keep)
    for k in range(1, classes):
        score = _channel(network, logits, axis, k, shape)
        better = network.add_elementwise(score, best, operation.GREATER).get_output(0)
        ids = network.add_select(better, _constant(trt, network, len(shape), k, keep), ids).get_output(0)
        best = network.add_elementwise(score, best, operation.MAX).get_output(0)
    return ids


def _channel(network: Any, logits: Any, axis: int, k: int, shape: list[int]) -> Any:
    start = [k if i == axis else 0 for i in range(len(shape))]
    return network.add_slice(logits, start, shape, [1] * len(shape)).get_output(0)


def _constant(trt: Any, network: Any, rank: int, value: int, keep: list[Any]) -> Any:
    keep.append(np.full([1] * rank, value, np.float32))
    return network.add_constant([1] * rank, trt.Weights(keep[-1])).get_output(0)


def _give(trt: Any, network: Any, ids: Any) -> None:
    """Make ids (as float) the network's one output, uint8 in the old output's name and shape."""
    old = network.get_output(0)
    name, shape = old.name, tuple(old.shape)
    network.unmark_output(old)
    old.name = f"{name}_as_parsed"
    _defuse(trt, network, old)
    shuffle = network.add_shuffle(ids)
    shuffle.reshape_dims = shape
    classes = _cast(trt, network, shuffle.get_output(0), trt.DataType.UINT8)
    classes.name = name
    network.mark_output(classes)
    if not hasattr(network, "add_cast"):
        classes.dtype = trt.DataType.UINT8  # 8.5 gives float else, whatever the layer makes


def _defuse(trt: Any, network: Any, old: Any) -> None:
    """Let the cast that nothing reads any more make int32: uint8 is for what comes from a float and is an output."""
    for layer in _layers(network):
        if not any(layer.get_output(i).name == old.name for i in range(layer.num_outputs)):
            continue
        if hasattr(trt.LayerType, "CAST") and layer.type == trt.LayerType.CAST:
            layer.__class__ = trt.ICastLayer  # the bindings hand out the base class
            layer.to_type = trt.DataType.INT32
        elif layer.type == trt.LayerType.IDENTITY and hasattr(layer, "set_output_type"):
            layer.set_output_type(0, trt.DataType.INT32)


def _cast(trt: Any, network: Any, tensor: Any, dtype: Any) -> Any:
    """A tensor in another type: by a cast layer where there is one, else (8.5) by an identity layer."""
    if hasattr(network, "add_cast"):
        return network.add_cast(tensor, dtype).get_output(0)
    layer = network.add_identity(tensor)
    layer.set_output_type(0, dtype)
    return layer.get_output(0)
