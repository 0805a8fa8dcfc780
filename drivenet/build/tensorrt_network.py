"""Another way to find the best class: an ArgMax is a TopK to TensorRT, which some GPUs are slow at.

A chain of comparisons over the classes computes the same. All else stays as the parser left it: it alone gives the
output its type, which without that is float where the ONNX does not type the network.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from drivenet.errors import EngineError

#: Ways to find the class with the highest score; of equal scores both take the lowest class.
ARGMAX = ("topk", "select")


def lower_argmax(trt: Any, network: Any, classes: int, argmax: str) -> list[Any]:
    """Let what reads the ArgMax of a parsed network read the chain of comparisons instead, if that is the way.

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
    logits, ids = topk.get_input(0), topk.get_output(1)
    axis = int(topk.axes).bit_length() - 1
    if tuple(logits.shape)[axis] != classes:
        raise EngineError(f"the network's ArgMax is over {tuple(logits.shape)[axis]} scores", f"{classes} classes")
    keep: list[Any] = []
    if argmax == "select":
        readers = _readers(network, ids)
        chain = _compare_chain(trt, network, logits, axis, classes, keep)
        for layer, i in readers:
            layer.set_input(i, chain)
    return keep


def _readers(network: Any, tensor: Any) -> list[tuple[Any, int]]:
    """Who reads a tensor, and as which input."""
    inputs = [(layer, i) for layer in _layers(network) for i in range(layer.num_inputs)]
    return [(layer, i) for layer, i in inputs if (read := layer.get_input(i)) is not None and read.name == tensor.name]


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
