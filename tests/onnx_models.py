"""Builds small real ONNX models that keep the deployed contract: the nearest palette colour is a pixel's class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from drivenet.export.confidence import add_confidence
from drivenet.labels import CAMVID, LabelSet
from drivenet.modelspec import METADATA_KEY, LabelsSpec, ModelSpec, ThingsSpec, spec_path

SIZE = (32, 48)
STRIDE = 2


def palette_spec(labels: LabelSet = CAMVID, size: tuple[int, int] = SIZE, **changes: Any) -> ModelSpec:
    """The spec of :func:`palette_graph`'s model."""
    fields: dict[str, Any] = {
        "name": "palette",
        "architecture": "nearest-colour",
        "input": size,
        "output": (size[0] // STRIDE, size[1] // STRIDE),
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "labels": LabelsSpec.of(labels),
        "params": 4 * len(labels),
        "gmac": 1e-6,
    }
    return ModelSpec(**{**fields, **changes})


def palette_graph(
    palette: Any = CAMVID.palette,
    size: tuple[int, int] = SIZE,
    names: tuple[str, str] = ("frame", "classes"),
    cast_at_ends: bool = True,
) -> onnx.GraphProto:
    """Every second pixel either way -> the class whose RGB colour is nearest to it.

    ``cast_at_ends``: uint8 becomes float first of all and ids float before they become uint8, as drivenet exports it;
    else uint8 is cut and int64 is cast, which TensorRT refuses.
    """
    colours = np.array(palette, np.float32)[:, ::-1]  # BGR, as the frame
    constants = {
        "weights": 2 * colours.T.copy(),
        "bias": -np.square(colours).sum(1),
        "starts": np.array([0, 0]),
        "ends": np.array(size),
        "axes": np.array([1, 2]),
        "steps": np.array([STRIDE, STRIDE]),
    }
    cut, cast = ["starts", "ends", "axes", "steps"], {"to": TensorProto.FLOAT}
    if cast_at_ends:
        begin = [
            helper.make_node("Cast", [names[0]], ["float"], **cast),
            helper.make_node("Slice", ["float", *cut], ["sampled"]),
        ]
        end = [helper.make_node("Cast", ["best"], ["best_float"], **cast)]
    else:
        begin = [
            helper.make_node("Slice", [names[0], *cut], ["small"]),
            helper.make_node("Cast", ["small"], ["sampled"], **cast),
        ]
        end = []
    nodes = [
        *begin,
        helper.make_node("MatMul", ["sampled", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["best"], axis=-1, keepdims=0),
        *end,
        helper.make_node("Cast", ["best_float" if cast_at_ends else "best"], [names[1]], to=TensorProto.UINT8),
    ]
    h, w = size
    return helper.make_graph(
        nodes,
        "palette",
        [helper.make_tensor_value_info(names[0], TensorProto.UINT8, [1, h, w, 3])],
        [helper.make_tensor_value_info(names[1], TensorProto.UINT8, [1, h // STRIDE, w // STRIDE])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )


def write_onnx(file: Path, graph: onnx.GraphProto, spec: ModelSpec | str | None, beside: bool = True) -> Path:
    """Write a model with its spec inside and, if wanted, beside it."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    if spec is not None:
        text = spec if isinstance(spec, str) else spec.to_json()
        helper.set_model_props(model, {METADATA_KEY: text})
        if beside:
            spec_path(file).write_text(text, encoding="utf-8")
    file.write_bytes(model.SerializeToString())
    return file


def palette_model(
    folder: Path, name: str = "palette", labels: LabelSet = CAMVID, size: tuple[int, int] = SIZE, **changes: Any
) -> Path:
    """A model and its JSON in a folder; right about every picture painted in the label set's colours."""
    spec = palette_spec(labels, size, name=name, **changes)
    return write_onnx(folder / f"{name}.onnx", palette_graph(labels.palette, size), spec)


def sure_model(
    folder: Path, name: str = "sure", labels: LabelSet = CAMVID, softness: float = 1500.0, size: tuple[int, int] = SIZE
) -> Path:
    """A palette model with confidence; the softer, the less sure where a colour lies between those of the palette."""
    graph = palette_graph(labels.palette, size)
    for tensor in graph.initializer:
        if tensor.name in ("weights", "bias"):
            softer = numpy_helper.to_array(tensor) / np.float32(softness)
            tensor.CopyFrom(numpy_helper.from_array(softer, tensor.name))
    plain = write_onnx(folder / f"{name}-plain.onnx", graph, palette_spec(labels, size, name=f"{name}-plain"))
    add_confidence(plain, folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


def things_model(folder: Path, name: str = "things", **changes: Any) -> Path:
    """A palette model with maps of things: centres are a picture's blue, offsets its green and red."""
    graph, spec = palette_graph(), palette_spec(name=name, things=things_spec(), **changes)
    rows, columns = spec.output
    constants = {"blue": np.array(0), "one": np.array([1]), "three": np.array([3])}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.node.extend(
        [
            helper.make_node("Transpose", ["sampled"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Gather", ["planes", "blue"], ["heights"], axis=1),
            helper.make_node("Slice", ["planes", "one", "three", "one"], ["steps_away"]),
            helper.make_node("Cast", ["heights"], ["centres"], to=TensorProto.UINT8),
            helper.make_node("Cast", ["steps_away"], ["offsets"], to=TensorProto.UINT8),
        ]
    )
    for port, shape in (("centres", [1, rows, columns]), ("offsets", [1, 2, rows, columns])):
        graph.output.append(helper.make_tensor_value_info(port, TensorProto.UINT8, shape))
    return write_onnx(folder / f"{name}.onnx", graph, spec)


def sure_things_model(
    folder: Path, centres: np.ndarray, offsets: np.ndarray, name: str = "parted", labels: LabelSet = CAMVID,
    **changes: Any,
) -> Path:  # fmt: skip
    """A palette model that gives these maps for every picture, (h, w) and (2, h, w) uint8 at the output's size."""
    graph = palette_graph(labels.palette)
    for port, value in (("centres", centres), ("offsets", offsets)):
        graph.initializer.append(numpy_helper.from_array(value[None].astype(np.float32), f"{port}_float"))
        graph.node.append(helper.make_node("Cast", [f"{port}_float"], [port], to=TensorProto.UINT8))
        graph.output.append(helper.make_tensor_value_info(port, TensorProto.UINT8, [1, *value.shape]))
    spec = palette_spec(labels, name=name, things=things_spec(scale=1.0), **changes)
    return write_onnx(folder / f"{name}.onnx", graph, spec)


def things_spec(**changes: Any) -> ThingsSpec:
    """The spec of the maps of :func:`things_model`."""
    fields: dict[str, Any] = {"cells": (SIZE[0] // STRIDE, SIZE[1] // STRIDE), "scale": 0.5, "centre": 60, "reach": 5.0}
    return ThingsSpec(**{**fields, "min_area": 0.0, **changes})


def sure_of(image: np.ndarray, labels: LabelSet = CAMVID, softness: float = 1500.0) -> np.ndarray:
    """What :func:`sure_model` must be sure of, by the textbook softmax in double precision: (H', W') of 0..1."""
    pixels = image[::STRIDE, ::STRIDE, None].astype(float)
    logits = -np.square(pixels - np.array(labels.palette, float)[:, ::-1]).sum(-1) / softness
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return (odds / odds.sum(-1, keepdims=True)).max(-1)


def paint(ids: np.ndarray, labels: LabelSet = CAMVID) -> np.ndarray:
    """Class ids (H, W) as a BGR picture in the label set's colours."""
    return np.ascontiguousarray(labels.bgr_table[ids])
