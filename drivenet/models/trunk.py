"""A deployed model as a frozen trunk: the features that its class logits are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper

from drivenet.errors import UsageError
from drivenet.files import sha256_of
from drivenet.host.cpu import physical_cores
from drivenet.modelspec import METADATA_KEY, ModelSpec
from drivenet.onnx_graph import Graph


class Trunk:
    """The frozen features of a deployed float model, by ONNX Runtime.

    Args:
        file: an ONNX that drivenet wrote.
        threads: None for one a physical core.
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        model = onnx.load(file)
        text = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), "")
        self.spec = ModelSpec.from_json(text, str(file))
        self.file, self.origin = file, origin_of(self.spec, file)
        self.name, self.shape = features_of(model, str(file))
        model.graph.output.append(helper.make_tensor_value_info(self.name, TensorProto.FLOAT, list(self.shape)))
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or physical_cores()
        self._session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
        """(N, C, h, w) features of (H, W, 3) uint8 BGR images of the model's input size."""
        found = [self._session.run([self.name], {"frame": image[None]})[0] for image in images]
        return torch.from_numpy(np.concatenate(found))


def origin_of(spec: ModelSpec, file: Path) -> str:
    """What exports of one network in several sizes have in common: the digest of its checkpoint, else of the file."""
    return spec.source_sha256 or sha256_of(file)


def features_of(model: onnx.ModelProto, where: str) -> tuple[str, tuple[int, int, int, int]]:
    """Name and shape (1, C, h, w) of what the last convolution before the argmax reads; UsageError if unknown."""
    graph = Graph(model.graph)
    node = next((n for n in graph.nodes if n.op_type == "ArgMax"), None)
    while node is not None and node.op_type != "Conv":
        node = graph.maker(node.input[0])
    if node is None:
        raise UsageError(f"{where} has no convolution before an argmax", "a model that drivenet trained")
    name = node.input[0]
    inferred = onnx.shape_inference.infer_shapes(model)
    known = [*inferred.graph.value_info, *inferred.graph.input]
    dims = [d.dim_value for v in known if v.name == name for d in v.type.tensor_type.shape.dim]
    if len(dims) != 4 or 0 in dims:
        told = f"{where}: the shape of {name} before its last convolution is unknown"
        raise UsageError(told, "a model that drivenet trained")
    batch, channels, rows, columns = dims
    return name, (batch, channels, rows, columns)
