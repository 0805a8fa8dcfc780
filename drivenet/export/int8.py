"""Post-training quantisation to QDQ with zero points of 0: one int8 ONNX for ONNX Runtime, OpenVINO and TensorRT."""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QDQQuantizer,
    QuantType,
    create_calibrator,
)
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.shape_inference import quant_pre_process

from drivenet.errors import UsageError
from drivenet.export.int8_activations import average_floats, round_after_activations, unsign
from drivenet.export.int8_bias import channel_means, correct_biases
from drivenet.export.int8_nodes import PARTS, QUANTISED, float_nodes
from drivenet.export.stored import check_target, load, store
from drivenet.files import sha256_of
from drivenet.frame import Image
from drivenet.modelspec import ModelSpec
from drivenet.onnx_graph import Graph, keep_used_domains
from drivenet.prepare import prepare_for

#: Zero points are 0 everywhere, and biases stay float: TensorRT reads nothing else.
_SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
#: The range of a tensor holds so many percent of its values, and the rest is clipped: with the range of all of them, a
#: few outliers cost every other value a bit. On the default models it halves the pixels that int8 changes.
PERCENTILE = 99.99
#: Pictures whose activations are in memory together, and those that the means for the biases are of, evenly taken.
AT_ONCE, AVERAGED = 4, 12


def quantise(source: Path, out: Path, pictures: Sequence[Image], keep: Sequence[str] = PARTS,
             tenths: Collection[int] = ()) -> ModelSpec:  # fmt: skip
    """Write an int8 version of a deployed ONNX: weights by channel, activations by tensor, all zero points 0.

    What is never negative, as behind a ReLU, is uint8: twice the steps. TensorRT, which reads int8 alone, gets these as
    int8 when a plan is built.

    Args:
        source: a float ONNX that drivenet wrote.
        out: ``*.onnx``; the spec, with precision ``int8``, goes inside and beside it as ``*.json``.
        pictures: what activations are measured on, (H, W, 3) uint8 BGR; a hundred of the road are plenty.
        keep: of :data:`~drivenet.export.int8_nodes.PARTS`, what stays float.
        tenths: of the convolutions, 0 at the input to 9, that stay float too.

    Raises:
        UsageError: for another suffix, an unknown part, no pictures, or a model that is int8 already.
        ModelSpecError: if the model holds no spec.
        SinkError: if nothing can be written there.
    """
    unknown = [part for part in keep if part not in PARTS]
    if unknown or not pictures:
        got = f"part {unknown[0]!r}" if unknown else "0 pictures"
        raise UsageError(got, f"parts of {', '.join(PARTS)}; pictures to calibrate on")
    check_target(out)
    return Calibrated(source, pictures).write(out, keep, tenths)


class Calibrated:
    """A float model whose activations were measured; any number of int8 versions can be written of it.

    Args:
        source, pictures: as for :func:`quantise`.

    Raises:
        UsageError, ModelSpecError: as :func:`quantise`.
    """

    def __init__(self, source: Path, pictures: Sequence[Image]) -> None:
        whole, spec = load(source)
        if spec.precision == "int8":
            raise UsageError(f"{source} is int8 already", "a float model")
        # the checkpoint stays its origin, which is how a build finds the float model to compare with
        origin = spec.source_sha256 or sha256_of(source)
        self._ir_version = whole.ir_version
        #: What an int8 version of it says of itself, but for its name.
        self.spec = spec.model_copy(update={"precision": "int8", "source_sha256": origin, "val_miou": None})
        with tempfile.TemporaryDirectory() as folder:
            clean, augmented = Path(folder) / "clean.onnx", Path(folder) / "augmented.onnx"
            # Folds what is constant, so that every convolution has its weights and bias at hand.
            quant_pre_process(source, clean, skip_symbolic_shape=True)
            self._clean = _named(onnx.load(clean))
            self._ranges = _measured(clean, augmented, pictures, spec)
        some = pictures[:: max(1, len(pictures) // AVERAGED)]
        self._means = channel_means(self._clean, [prepare_for(picture, spec)[None] for picture in some])

    def write(self, out: Path, keep: Sequence[str] = PARTS, tenths: Collection[int] = ()) -> ModelSpec:
        """Write one int8 version; SinkError if nothing can be written there."""
        floats = sorted(float_nodes(self._clean.graph, keep, tenths))
        quantizer = QDQQuantizer(
            copy.deepcopy(self._clean), True, False, QuantType.QInt8, QuantType.QInt8, self._ranges, [], floats,
            list(QUANTISED), dict(_SYMMETRIC),
        )  # fmt: skip
        quantizer.quantize_model()
        model = quantizer.model.model
        _settle_rounding(model.graph)
        quantizer.model.topological_sort()
        self._settle_order_and_biases(model.graph)
        keep_used_domains(model)
        model.ir_version = self._ir_version
        _cast_ids_to_float_first(model.graph)
        spec = self.spec.model_copy(update={"name": out.stem})
        store(model, spec, out, full_check=False)
        return spec

    def _settle_order_and_biases(self, quantised: onnx.GraphProto) -> None:
        graph = Graph(quantised)
        graph.sort()  # ONNX Runtime leaves out what bodies of nodes read
        correct_biases(graph, self._clean.graph, self._means)
        graph.write()


def _settle_rounding(quantised: onnx.GraphProto) -> None:
    graph = Graph(quantised)
    round_after_activations(graph)
    unsign(graph)
    average_floats(graph)
    graph.write()


def _measured(clean: Path, augmented: Path, pictures: Sequence[Image], spec: ModelSpec) -> TensorsData:
    """The range of every tensor that may be quantised, over some pictures.

    Args:
        clean: the model.
        augmented: where a version is written that gives these tensors.
        pictures, spec: what it is shown, and how it takes that.
    """
    told = {"percentile": PERCENTILE}
    calibrator = create_calibrator(
        clean, list(QUANTISED), str(augmented), calibrate_method=CalibrationMethod.Percentile, extra_options=told
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it is at
        for first in range(0, len(pictures), AT_ONCE):
            calibrator.collect_data(_Pictures(pictures[first : first + AT_ONCE], spec))
        return calibrator.compute_data()


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """With a name for every node: what stays float is named by it."""
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"unnamed/{number}"
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
