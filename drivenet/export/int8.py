"""Post-training quantisation to symmetric QDQ: one int8 ONNX for ONNX Runtime, OpenVINO and TensorRT."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from drivenet.errors import UsageError
from drivenet.export.stored import load, store
from drivenet.files import sha256_of
from drivenet.frame import Image
from drivenet.modelspec import ModelSpec
from drivenet.prepare import prepare_for

#: What is computed in int8; all else stays float.
QUANTISED = ("Conv", "Add", "Concat", "MaxPool", "AveragePool")
#: Parts that may stay float: convolutions on the picture, the last one, those that feed a sigmoid, and those to at
#: most 16 channels. The last cost little to compute and much to quantise: one of them in the semantic stem of a
#: BiSeNetV2 took 2.7 points of mIoU on CamVid val.
PARTS = ("stem", "classifier", "gates", "narrow")
NARROW = 16

#: Zero points are 0 everywhere, and biases stay float: TensorRT reads nothing else.
_SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}


def quantise(source: Path, out: Path, pictures: Sequence[Image], keep: Sequence[str] = PARTS,
             front: float = 0.0) -> ModelSpec:  # fmt: skip
    """Write an int8 version of a deployed ONNX: weights by channel, activations by tensor, both symmetric.

    Args:
        source: a float ONNX that drivenet wrote.
        out: ``*.onnx``; the spec, with precision ``int8``, goes inside and beside it as ``*.json``.
        pictures: what activations are measured on, (H, W, 3) uint8 BGR; a hundred of the road are plenty.
        keep: of :data:`PARTS`, what stays float.
        front: fraction of the convolutions, from the input on, that stay float too.

    Raises:
        UsageError: for another suffix, an unknown part, no pictures, or a model that is int8 already.
        ModelSpecError: if the model holds no spec.
        SinkError: if nothing can be written there.
    """
    unknown = [part for part in keep if part not in PARTS]
    if unknown or not pictures or out.suffix != ".onnx":
        got = f"part {unknown[0]!r}" if unknown else f"{len(pictures)} pictures, output {out}"
        raise UsageError(got, f"parts of {', '.join(PARTS)}; pictures to calibrate on; a file that ends in .onnx")
    whole, spec = load(source)
    if spec.precision == "int8":
        raise UsageError(f"{source} is int8 already", "a float model")
    with tempfile.TemporaryDirectory() as folder:
        clean, small = Path(folder) / "clean.onnx", Path(folder) / "int8.onnx"
        # Folds what is constant, so that every convolution has its weights and bias at hand.
        quant_pre_process(source, clean, skip_symbolic_shape=True)
        quantize_static(
            clean, small, _Pictures(pictures, spec), QuantFormat.QDQ, list(QUANTISED), per_channel=True,
            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=sorted(float_nodes(onnx.load(clean).graph, keep, front)), extra_options=_SYMMETRIC,
        )  # fmt: skip
        model = _plain(onnx.load(small), whole.ir_version)
        _cast_ids_to_float_first(model.graph)
    # the checkpoint stays its origin, which is how a build finds the float model to compare with
    origin = spec.source_sha256 or sha256_of(source)
    spec = spec.model_copy(update={"name": out.stem, "precision": "int8", "source_sha256": origin})
    spec = spec.model_copy(update={"val_miou": None})  # it was the float model's
    store(model, spec, out, full_check=False)
    return spec


def float_nodes(graph: onnx.GraphProto, keep: Sequence[str], front: float = 0.0) -> set[str]:
    """Names of the nodes that stay float: normalisation, upsampling, a head for things, and what ``keep`` names."""
    made_by = {name: node for node in graph.node for name in node.output}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    convs = {n.name: shapes.get(n.input[1], (NARROW + 1, 0)) for n in graph.node if n.op_type == "Conv"}
    stem = [n for n in graph.node if convs.get(n.name, (0, 0))[1] == 3]
    last = [n for n in graph.node if n.op_type == "ArgMax"]
    sigmoids = [n for n in graph.node if n.op_type in ("Sigmoid", "HardSigmoid")]
    found = {n.name for node in stem for n in _before(node, made_by)}
    found |= {n.name for n in graph.node if n.name.startswith("things/")}  # offsets of 8 bits are rounded once
    if "stem" in keep:
        found |= {node.name for node in stem}
    if "classifier" in keep:
        found |= _last_convolution(last, made_by)
    if "gates" in keep:
        found |= _last_convolution(sigmoids, made_by)
    if "narrow" in keep:
        found |= {name for name, shape in convs.items() if shape[0] <= NARROW}
    found |= _front(graph, front)
    return found | _between_floats(graph, found)


def _front(graph: onnx.GraphProto, fraction: float) -> set[str]:
    """The first convolutions, and the additions before the last of them; nodes are in the order of computing."""
    convs = [i for i, node in enumerate(graph.node) if node.op_type == "Conv"]
    count = round(fraction * len(convs))
    return (
        {node.name for node in graph.node[: convs[count - 1] + 1] if node.op_type in ("Conv", "Add")}
        if count
        else set()
    )


def _between_floats(graph: onnx.GraphProto, floats: set[str]) -> set[str]:
    """Pools, concatenations and depth-wise convolutions between nodes that stay float: int8 would be a detour there.

    One after the stem, with a range of its own in every channel, took 1.1 points of agreement with the float model.
    """
    wide = {tensor.name: tensor.dims[1] > 1 for tensor in graph.initializer if len(tensor.dims) == 4}
    found = {n.name for n in graph.node if n.op_type in ("Concat", "MaxPool", "AveragePool")}
    found |= {n.name for n in graph.node if n.op_type == "Conv" and not wide.get(n.input[1], True)}
    neighbours = _neighbours(graph)
    while bound := {name for name in found if neighbours[name] - floats - found}:
        found -= bound
    return found


def _neighbours(graph: onnx.GraphProto) -> dict[str, set[str]]:
    """For each node that might be quantised, the nearest such before and after it."""
    near: dict[str, set[str]] = {node.name: set() for node in graph.node if node.op_type in QUANTISED}
    reached: dict[str, set[str]] = {}  # a tensor, and whose results are in it
    for node in graph.node:
        before = set().union(*(reached.get(name, set()) for name in node.input))
        if node.name in near:
            near[node.name] |= before
            for name in before:
                near[name].add(node.name)
        for output in node.output:
            reached[output] = {node.name} if node.name in near else before
    return near


Made = dict[str, onnx.NodeProto]


def _before(node: onnx.NodeProto, made_by: Made) -> Iterator[onnx.NodeProto]:
    for name in node.input:
        if name in made_by:
            yield made_by[name]
            yield from _before(made_by[name], made_by)


def _last_convolution(nodes: list[onnx.NodeProto], made_by: Made) -> set[str]:
    """The nearest convolutions before some nodes, and all between."""
    found: set[str] = set()
    waiting = [made_by[name] for node in nodes for name in node.input if name in made_by]
    while waiting:
        node = waiting.pop()
        if node.name in found:
            continue
        found.add(node.name)
        if node.op_type != "Conv":
            waiting += [made_by[name] for name in node.input if name in made_by]
    return found


def _plain(model: onnx.ModelProto, ir_version: int) -> onnx.ModelProto:
    """Without the operator sets that ONNX Runtime lists and the graph does not use: other parsers refuse them."""
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.ir_version = ir_version
    return model


def _cast_ids_to_float_first(graph: onnx.GraphProto) -> None:
    """ArgMax, float, uint8, as the float model ends: TensorRT 8.5 takes uint8 from floats alone.

    ONNX Runtime's preparation makes one cast of the two, which is the same to it.
    """
    best = {node.output[0] for node in graph.node if node.op_type == "ArgMax"}
    for i, cast in [(i, n) for i, n in enumerate(graph.node) if n.op_type == "Cast" and n.input[0] in best]:
        if cast.attribute[0].i == TensorProto.UINT8:
            between = f"{cast.input[0]}_float"
            graph.node.insert(i, helper.make_node("Cast", [cast.input[0]], [between], to=TensorProto.FLOAT))
            cast.input[0] = between


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """The pictures as the engine would get them."""

    def __init__(self, pictures: Sequence[Image], spec: ModelSpec) -> None:
        self._frames = iter([prepare_for(picture, spec)[None] for picture in pictures])

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        frame = next(self._frames, None)
        return None if frame is None else {"frame": frame}
