"""What TensorRT is given in each precision, computed by ONNX Runtime."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx_models import palette_model
from tensorrt_double import API

from drivenet.artefacts.spec_json import read_spec_json
from drivenet.build.tensorrt_precision import (
    as_it_is,
    flagged_int8,
    float16_onnx,
    quantise_in_graph,
    sign,
    typed_int8,
    typing_of,
)
from drivenet.data.pictures import synthetic_pictures
from drivenet.engine.parity import THRESHOLDS
from drivenet.errors import UsageError
from drivenet.modelspec import spec_path
from drivenet.resources import engines_dir


def ids_of(*models: bytes, optimised: bool = True) -> list[Any]:
    """What models that ship as ``fast`` does give of one picture, each (1, H, W) uint8."""
    height, width = read_spec_json(engines_dir() / "fast.json").input
    image = synthetic_pictures((height, width))[0][None, :height, :width]
    options = ort.SessionOptions()
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    sessions = [ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]) for model in models]
    return [session.run(None, {"frame": image})[0] for session in sessions]


def flags(*names: str) -> type[IntEnum]:
    return IntEnum("Flags", names, start=0)  # type: ignore[return-value]


def version(name: str, creation: type[IntEnum], builder_flags: list[str]) -> SimpleNamespace:
    return SimpleNamespace(
        __version__=name, NetworkDefinitionCreationFlag=creation, BuilderFlag=flags(*builder_flags)
    )  # fmt: skip


def test_precision_is_told_by_what_the_version_has() -> None:
    old = version("8.5", flags("EXPLICIT_BATCH", "EXPLICIT_PRECISION"), API["8.5"]["enums"]["BuilderFlag"])
    ten = version("10", flags("EXPLICIT_BATCH", "STRONGLY_TYPED"), API["10"]["enums"]["BuilderFlag"])
    new = version("11", flags("STRONGLY_TYPED"), API["11"]["enums"]["BuilderFlag"])
    assert typing_of(old, "fp16").builder_flags == ("FP16",)
    assert typing_of(old, "int8").builder_flags == ("INT8", "FP16")
    assert typing_of(old, "fp32").network_flags == 1
    assert typing_of(ten, "bf16").builder_flags == ("BF16",)
    assert typing_of(new, "fp16").network_flags == 1
    assert typing_of(new, "int8").builder_flags == ()
    assert typing_of(new, "fp16").rewrite is float16_onnx
    assert typing_of(new, "int8").rewrite is typed_int8
    assert all(typing_of(v, "int8").rewrite is flagged_int8 for v in (old, ten))
    assert all(typing_of(v, "fp32").rewrite is as_it_is for v in (old, ten, new))
    with pytest.raises(UsageError, match=r"bf16 with TensorRT 8\.5; expected fp32 or fp16 or int8"):
        typing_of(old, "bf16")
    with pytest.raises(UsageError, match="bf16 with TensorRT 11; expected fp32 or fp16 or int8"):
        typing_of(new, "bf16")


def test_an_onnx_in_fp16_keeps_its_uint8_ends(tmp_path: Path) -> None:
    content = float16_onnx(palette_model(tmp_path).read_bytes())
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [n.type for n in (*session.get_inputs(), *session.get_outputs())] == ["tensor(uint8)"] * 2
    floats = {i.data_type for i in onnx.load_from_string(content).graph.initializer} - {onnx.TensorProto.INT64}
    assert floats == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize(("name", "gate"), [("fast", "fp16"), ("fast-int8", "int8")])
def test_the_models_that_ship_in_fp16_keep_their_int8_and_can_be_read(name: str, gate: str) -> None:
    """Strong typing: what is int8 stays int8, the rest is fp16 down to the scales. The parity gate would let it pass.

    ONNX Runtime 1.23, the last for Python 3.10, quantises fp16 towards zero instead of rounding: 98 % instead of 99.8.
    """
    before = (engines_dir() / f"{name}.onnx").read_bytes()
    content = (typed_int8 if gate == "int8" else float16_onnx)(before)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    initializers = {i.name: i.data_type for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Resize":  # TensorRT takes the factors from weights alone
            assert initializers[node.input[2]] == onnx.TensorProto.FLOAT
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert initializers[node.input[1]] == onnx.TensorProto.FLOAT16
            assert initializers[node.input[2]] == onnx.TensorProto.INT8
    casts, own = (sum(node.op_type == "Cast" for node in m.graph.node) for m in (model, onnx.load_from_string(before)))
    assert casts == own, "none is added within the network"
    ours, theirs = ids_of(content, before, optimised=False)
    assert (ours == theirs).mean() > THRESHOLDS[gate][0]


def test_unsigned_activations_are_int8_of_the_same_range_for_tensorrt() -> None:
    file = engines_dir() / "fast-int8.onnx"
    forms = [onnx.load(file), sign(onnx.load(file))]
    onnx.checker.check_model(forms[1], full_check=True)
    ranges = []
    for model in forms:
        stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        linear = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
        kinds = [stored[n.input[2]].dtype for n in linear]
        ranges.append([stored[n.input[1]] * np.iinfo(k).max for n, k in zip(linear, kinds, strict=True)])
        assert not any(stored[n.input[2]].any() for n in linear)
        assert (np.uint8 in kinds) == (model is forms[0])
    for before, after in zip(*ranges, strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-5)
    ours, theirs = ids_of(forms[1].SerializeToString(), file.read_bytes())
    assert (ours == theirs).mean() > THRESHOLDS["int8"][0]


@pytest.mark.parametrize("shared", ["scale", "zero"])
def test_what_unsigned_activations_share_is_shared_by_signed_ones(shared: str) -> None:
    """Other programs than ours give one scale to several zero points, and the other way round."""
    helper, kinds = onnx.helper, onnx.TensorProto
    names = {"scale": (["s", "a"], ["s", "b"]), "zero": (["s", "a"], ["t", "a"])}[shared]
    nodes = [
        helper.make_node(kind, [given, *by], [made])
        for (given, middle, end), by in zip((("x", "q", "y"), ("y", "r", "z")), names, strict=True)
        for kind, given, made in (("QuantizeLinear", given, middle), ("DequantizeLinear", middle, end))
    ]
    scales = [onnx.numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("s", 0.1), ("t", 0.2))]
    zeros = [onnx.numpy_helper.from_array(np.array(0, np.uint8), name) for name in ("a", "b")]
    ends = [[helper.make_tensor_value_info(name, kinds.FLOAT, [4])] for name in ("x", "z")]
    read = {name for by in names for name in by}
    graph = helper.make_graph(nodes, "g", *ends, [one for one in [*scales, *zeros] if one.name in read])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    signed = sign(model)
    onnx.checker.check_model(signed, full_check=True)
    x = np.array([0, 0.3, 2, 9], np.float32)
    session = ort.InferenceSession(signed.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x, atol=0.25)


def test_weights_in_float_are_quantised_to_what_they_were() -> None:
    """For TensorRT 8, which takes no int8 weights."""
    file = engines_dir() / "fast-int8.onnx"
    model = quantise_in_graph(onnx.load(file))
    onnx.checker.check_model(model, full_check=True)
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    assert weights
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.FLOAT}
    ours, theirs = ids_of(model.SerializeToString(), file.read_bytes(), optimised=False)
    np.testing.assert_array_equal(ours, theirs)


def test_no_constant_is_left_that_only_the_unsigned_form_read() -> None:
    content = (engines_dir() / "fast-int8.onnx").read_bytes()
    for form in (flagged_int8(content), typed_int8(content)):
        graph = onnx.load_from_string(form).graph
        read = {name for node in graph.node for name in node.input}
        assert [tensor.name for tensor in graph.initializer if tensor.name not in read] == []


@pytest.mark.parametrize("file", sorted(engines_dir().glob("*.onnx")), ids=lambda file: file.stem)
def test_the_ends_of_the_models_that_ship_are_what_tensorrt_8_reads(file: Path) -> None:
    """It casts from uint8 to float and from float to uint8, and nothing else from or to uint8."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(file)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    (reader,) = [node for node in graph.node if "frame" in node.input]
    assert (reader.op_type, reader.attribute[0].i) == ("Cast", onnx.TensorProto.FLOAT)
    names = [name for name, _ in read_spec_json(spec_path(file)).outputs()]
    assert [output.name for output in graph.output] == names
    for name in names:
        (last,) = [node for node in graph.node if name in node.output]
        assert (last.op_type, last.attribute[0].i) == ("Cast", onnx.TensorProto.UINT8)
        assert types[last.input[0]] == onnx.TensorProto.FLOAT
        assert not [node for node in graph.node if name in node.input]
