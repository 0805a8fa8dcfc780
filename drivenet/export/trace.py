"""A PyTorch module as the ONNX that it traces to."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch

#: The newest that TensorRT 8.5 (JetPack 5) reads.
OPSET = 17


def traced(module: torch.nn.Module, example: torch.Tensor, given: str, outputs: Sequence[str]) -> onnx.ModelProto:
    """The graph that a module computes.

    Args:
        module: in eval mode, with one input.
        example: of the input; its shape and type are the graph's.
        given: name of the input.
        outputs: names of the outputs.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter cannot write opset 17
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            module, (example,), file, input_names=[given], output_names=list(outputs), opset_version=OPSET,
            dynamo=False, do_constant_folding=True,
        )  # fmt: skip
        return onnx.load(file)
