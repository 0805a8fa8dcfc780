"""Small ONNX files as other programs write them: a picture in by rules of their own, scores or ids out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Rule = tuple[float, float]


class Net:
    """A strided convolution and a classifier with weights from a seed, node by node.

    Args:
        classes: channels of the scores.
        stride: of the scores.
        half: whether weights and ports are half precision.
        axes: height and width of the input; names for open ones.
        layout: of the input.
    """

    def __init__(
        self, classes: int = 5, stride: int = 4, half: bool = False, axes: tuple[int | str, int | str] = (64, 96),
        layout: str = "nchw",
    ) -> None:  # fmt: skip
        self.random = np.random.default_rng(0)
        self.real = np.float16 if half else np.float32
        self.type = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        shape = [1, 3, *axes] if layout == "nchw" else [1, *axes, 3]
        self.inputs = [helper.make_tensor_value_info("image", self.type, shape)]
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.end = "image"
        if layout == "nhwc":
            self.add("Transpose", perm=[0, 3, 1, 2])
        self.convolution(8, 3, stride)
        self.add("Relu")
        self.convolution(classes, 8, 1)

    def add(self, kind: str, *constants: npt.NDArray[Any], **attributes: Any) -> Net:
        names = []
        for values in constants:
            names.append(f"constant_{len(self.tensors)}")
            self.tensors.append(numpy_helper.from_array(values, names[-1]))
        out = f"tensor_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.end, *names], [out], f"node_{len(self.nodes)}", **attributes))
        self.end = out
        return self

    def convolution(self, out: int, into: int, stride: int) -> None:
        weights = self.random.normal(0, 1, (out, into, 3, 3)).astype(self.real)
        bias = self.random.normal(0, 0.1, out).astype(self.real)
        self.add("Conv", weights, bias, pads=[1, 1, 1, 1], strides=[stride, stride])

    def write(self, file: Path, *outputs: tuple[str, int, int], opset: int = 17, listed: bool = False,
              external: bool = False) -> Path:  # fmt: skip
        """The model with outputs of (name, type, rank); the last node's if none."""
        wanted = outputs or ((self.end, self.type, 4),)
        ports = [helper.make_tensor_value_info(name, kind, [None] * rank) for name, kind, rank in wanted]
        constants = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.tensors]
        graph = helper.make_graph(self.nodes, "net", self.inputs + (constants if listed else []), ports, self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="somebody")
        model.ir_version = 7 if opset < 16 else 9
        onnx.save(model, file, save_as_external_data=external, location=f"{file.name}.data", size_threshold=0)
        return file
