"""Building with TensorRT's double of 8.5, which knows the real attribute sets and the rules for uint8."""

from __future__ import annotations

from enum import IntEnum
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx_models import palette_graph, palette_model, palette_spec, things_model, write_onnx
from tensorrt_double import API, GPU, Builder, Network, RecordingDriver, Tensor, TensorRt

from drivenet.artefacts.spec_json import read_spec_json
from drivenet.build import tensorrt as builder
from drivenet.build.build import build
from drivenet.build.rebuild_request import request_for
from drivenet.build.request import BuildRequest
from drivenet.build.tensorrt_network import _compare_chain, lower_argmax
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
from drivenet.engine import open_engine
from drivenet.engine import tensorrt as backend
from drivenet.engine.cuda import driver as cuda
from drivenet.engine.parity import THRESHOLDS
from drivenet.engine.tensorrt import engine as tensorrt
from drivenet.engine.tensorrt import lane as tensorrt_lane
from drivenet.errors import EngineError, UsageError
from drivenet.modelspec import spec_path
from drivenet.resources import engines_dir


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> TensorRt:
    return installed("8.5", monkeypatch)


def installed(version: str, monkeypatch: pytest.MonkeyPatch) -> TensorRt:
    """A TensorRT and a GPU, as far as a build can tell."""
    double = TensorRt(version, RecordingDriver())
    for module in (tensorrt, builder):
        monkeypatch.setattr(module, "require_gpu", lambda: GPU)
        monkeypatch.setattr(module, "import_tensorrt", lambda: double)
        monkeypatch.setattr(module, "open_driver", lambda: double.driver)
    monkeypatch.setattr(builder, "find_driver", lambda: lambda: double.driver)
    monkeypatch.setattr(tensorrt_lane, "capture", double.driver.capture)
    return double


def test_what_cannot_be_run_is_not_built(trt: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was noticed after the minutes that a build takes."""
    monkeypatch.setattr(cuda, "_installed", lambda package: False)
    monkeypatch.setattr(builder, "find_driver", cuda.find_driver)
    with pytest.raises(EngineError, match="neither pycuda nor cuda-bindings is installed; pip install pycuda, or"):
        build(BuildRequest(palette_model(tmp_path), "tensorrt"))
    assert trt.calls == []
    monkeypatch.setattr(backend, "probe", lambda: GPU)
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
    assert backend.obstacle(None) == "neither pycuda nor cuda-bindings is installed"
    monkeypatch.undo()
    monkeypatch.setattr(backend, "probe", lambda: GPU)
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
    assert backend.obstacle(None) == ""


@pytest.mark.parametrize("version", ["8.5", "10"])
def test_a_plan_is_built_compared_and_run(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = installed(version, monkeypatch)
    onnx_file = palette_model(tmp_path)
    built = build(BuildRequest(onnx_file, "tensorrt", options={"workspace": 512, "argmax": "select"}))
    assert built.file == tmp_path / "palette-fp16.plan"
    passport = built.passport
    assert passport.machine == {"gpu": "Orin", "compute_capability": "8.7", "tensorrt": trt.__version__}
    assert (passport.recorded["cuda"], passport.recorded["argmax"]) == ("11.4", "select")
    assert "--workspace 512 --argmax select" in passport.rebuild(tmp_path)
    assert passport.parity is not None
    assert passport.parity.passed
    assert trt.calls[:4] == [
        "create_network 1", "set_flag FP16", f"set_memory_pool_limit WORKSPACE {512 << 20}", "set_tactic_sources 24",
    ]  # fmt: skip
    engine = open_engine(built.file)
    assert (engine.backend, engine.precision) == ("tensorrt", "fp16")
    engine.close()


@pytest.mark.parametrize("version", ["8.5", "10"])
@pytest.mark.parametrize("argmax", ["topk", "select"])
def test_the_ends_stay_as_the_parser_left_them(version: str, argmax: str, tmp_path: Path) -> None:
    """Only the parser gives the output its type; uint8 stands between an end and its cast alone."""
    trt = TensorRt(version, RecordingDriver())
    network = _parsed(trt, palette_model(tmp_path))
    first, last = network.get_input(0), network.get_output(0)
    lower_argmax(trt, network, 11, argmax)
    assert not network._check()
    assert (network.get_input(0), network.get_output(0)) == (first, last)
    (topk,) = (layer for layer in network._layers if layer.type == trt.LayerType.TOPK)  # type: ignore[attr-defined]
    reads_it = [layer for layer in network._layers if topk.get_output(1) in layer._inputs]
    assert bool(reads_it) == (argmax == "topk")


def test_an_onnx_that_works_on_uint8_is_refused_with_what_is_read(trt: TensorRt, tmp_path: Path) -> None:
    onnx_file = write_onnx(tmp_path / "palette.onnx", palette_graph(cast_at_ends=False), palette_spec())
    with pytest.raises(
        EngineError, match=r"input type of UINT8; expected what drivenet export writes: .* cast to float"
    ):
        build(BuildRequest(onnx_file, "tensorrt", "fp32"))


def _parsed(trt: TensorRt, onnx_file: Path) -> Network:
    network = trt.make(Network, "INetworkDefinition", trt, [])
    parser = trt.OnnxParser(network, None)
    assert parser.parse(onnx_file.read_bytes())
    return network  # type: ignore[no-any-return]


def test_both_ways_to_find_the_best_class_are_timed(trt: TensorRt, tmp_path: Path) -> None:
    recorded = build(BuildRequest(palette_model(tmp_path), "tensorrt", "fp32")).passport.recorded
    times = {way: float(recorded[f"ms_{way}"]) for way in ("topk", "select")}
    assert times[recorded["argmax"]] == min(times.values())
    assert trt.calls.count("create_network 1") == 2
    assert "clear_flag TF32" in trt.calls


def test_the_second_way_need_not_time_what_the_first_has(trt: TensorRt, tmp_path: Path) -> None:
    build(BuildRequest(palette_model(tmp_path), "tensorrt", "fp32"))
    told = [call for call in trt.calls if "timing_cache" in call]
    assert told == ["set_timing_cache b''", "set_timing_cache b'timed'"]


def test_a_way_that_cannot_be_built_leaves_the_other(trt: TensorRt, tmp_path: Path) -> None:
    def refuse(self: Any, network: Network, config: object) -> bytes | None:
        if any(layer.type == trt.LayerType.SELECT for layer in network._layers):  # type: ignore[attr-defined]
            self._log.log(self._log.ERROR, "Could not find any implementation for node {ForeignNode[bias]}")
            return None
        return Builder.build_serialized_network(self, network, config)

    trt.Builder = type("Picky", (trt.Builder,), {"build_serialized_network": refuse})
    built = build(BuildRequest(palette_model(tmp_path), "tensorrt", "fp32"))
    assert built.passport.recorded["argmax"] == "topk"
    assert "Could not find any implementation" in built.passport.recorded["without_select"]
    open_engine(built.file).close()
    with pytest.raises(EngineError, match="Could not find any implementation"):
        build(BuildRequest(palette_model(tmp_path), "tensorrt", "fp32", options={"argmax": "select"}))


def test_a_way_that_does_not_run_leaves_the_other(
    trt: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways, time_of = [], builder._time

    def picky(*arguments: Any) -> float:
        ways.append("way")
        if len(ways) == 1:
            raise EngineError("out of memory")
        return time_of(*arguments)

    monkeypatch.setattr(builder, "_time", picky)
    recorded = build(BuildRequest(palette_model(tmp_path), "tensorrt", "fp32")).passport.recorded
    assert recorded["argmax"] == builder.ARGMAX[1]
    assert recorded[f"without_{builder.ARGMAX[0]}"] == "out of memory"
    assert f"ms_{builder.ARGMAX[0]}" not in recorded

    def fails(*_: Any) -> float:
        raise EngineError("out of memory")

    monkeypatch.setattr(builder, "_time", fails)
    with pytest.raises(EngineError, match="out of memory"):
        build(BuildRequest(palette_model(tmp_path), "tensorrt", "fp32"))


def test_the_chain_of_comparisons_is_the_argmax() -> None:
    trt = TensorRt("8.5", RecordingDriver())
    network = trt.make(Network, "INetworkDefinition", trt, [])
    logits = np.random.default_rng(0).integers(-3, 3, (1, 11, 12, 20)).astype(np.float32)  # many equal scores
    tensor = trt.make(Tensor, "ITensor", "logits", logits.shape, trt.DataType.FLOAT, lambda: logits)
    ids = _compare_chain(trt, network, tensor, 1, 11, [])
    np.testing.assert_array_equal(ids._value()[:, 0], logits.argmax(1))


def test_a_model_that_parts_things_is_built_with_all_its_outputs(trt: TensorRt, tmp_path: Path) -> None:
    built = build(BuildRequest(things_model(tmp_path), "tensorrt", "fp16", options={"argmax": "topk"}))
    assert built.passport.parity is not None
    assert built.passport.parity.things == 1.0
    engine = open_engine(built.file)
    image = synthetic_pictures((32, 48))[2][:32, :48]
    _, maps = engine.infer_things(image)
    assert maps is not None
    np.testing.assert_array_equal(maps.centres, image[::2, ::2, 0])
    engine.close()


def test_a_build_that_fails_says_why_and_leaves_nothing(trt: TensorRt, tmp_path: Path) -> None:
    onnx_file = palette_model(tmp_path)
    before = sorted(tmp_path.iterdir())
    refuse = type("Refuses", (trt.Builder,), {"build_serialized_network": lambda self, network, config: None})
    trt.Builder = refuse
    with pytest.raises(EngineError, match=r"TensorRT 8\.5\.3\.1 cannot build .* in fp16"):
        build(BuildRequest(onnx_file, "tensorrt", options={"argmax": "topk"}))
    assert sorted(tmp_path.iterdir()) == before


def test_a_timing_cache_is_read_and_written(trt: TensorRt, tmp_path: Path) -> None:
    cache = tmp_path / "kernels.timing"
    for content, attached in ((None, [b""]), (b"of another GPU", [b"of another GPU", b""]), (b"fits", [b"fits"])):
        trt.calls.clear()
        if content:
            cache.write_bytes(content)
        build(BuildRequest(palette_model(tmp_path), "tensorrt", options={"timing_cache": cache, "argmax": "topk"}))
        assert [call for call in trt.calls if "timing_cache" in call] == [
            f"set_timing_cache {one!r}" for one in attached
        ]
        assert cache.read_bytes() == b"timed"


def test_a_plan_is_kept_though_its_timing_cache_cannot_be(trt: TensorRt, tmp_path: Path) -> None:
    onnx_file = palette_model(tmp_path)
    request = BuildRequest(
        onnx_file, "tensorrt", options={"timing_cache": onnx_file / "kernels.timing", "argmax": "topk"}
    )
    built = build(request)
    assert built.file.is_file()
    assert built.passport.recorded["timing_cache"].startswith(f"not written to {onnx_file / 'kernels.timing'}: ")


def test_a_rebuild_from_anywhere_asks_for_the_same(
    trt: TensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another folder than the ONNX's, another reference, and paths from here: a service starts somewhere else."""
    models, out, elsewhere = (tmp_path / name for name in ("models", "out", "elsewhere"))
    for folder in (models, elsewhere):
        folder.mkdir()
    onnx_file, reference = palette_model(models), palette_model(elsewhere, "exact")
    monkeypatch.chdir(tmp_path)
    asked = BuildRequest(
        Path("models/palette.onnx"), "tensorrt", "fp16", out=Path("out"), reference=Path("elsewhere/exact.onnx"),
        options={"timing_cache": Path("kernels.timing"), "argmax": "select"},
    )  # fmt: skip
    built = build(asked)
    monkeypatch.chdir(elsewhere)
    again = request_for(out / built.file.name, "tensorrt")
    assert again == BuildRequest(
        onnx_file, "tensorrt", "fp16", out=out, reference=reference,
        options={"timing_cache": tmp_path / "kernels.timing", "argmax": "select"},
    )  # fmt: skip
    assert f"drivenet build {onnx_file} " in built.passport.rebuild(out)
    assert build(again).file == out / "palette-fp16.plan"


def test_an_accelerator_core_computes_fp16_only(trt: TensorRt, tmp_path: Path) -> None:
    """An int8 ONNX says its precision in layers that the core does not know: all of it would go to the GPU."""
    onnx_file = palette_model(tmp_path)
    with pytest.raises(UsageError, match="precision fp32 on a DLA core; expected fp16"):
        build(BuildRequest(onnx_file, "tensorrt", "fp32", options={"dla": 0}))
    int8 = palette_model(tmp_path, "palette-int8", precision="int8")
    with pytest.raises(UsageError, match="precision int8 on a DLA core; expected fp16"):
        build(BuildRequest(int8, "tensorrt", "int8", reference=onnx_file, options={"dla": 0}))
    with pytest.raises(UsageError, match="DLA core 2 on a machine with 2; expected the number of one"):
        build(BuildRequest(onnx_file, "tensorrt", "fp16", options={"dla": 2}))
    built = build(BuildRequest(onnx_file, "tensorrt", "fp16", options={"dla": 1, "argmax": "topk"}))
    assert "set_flag GPU_FALLBACK" in trt.calls
    assert "--dla 1" in built.passport.rebuild(tmp_path)
    trt.calls.clear()
    alone = build(
        BuildRequest(onnx_file, "tensorrt", "fp16", options={"dla": 1, "gpu_fallback": False, "argmax": "topk"})
    )
    assert "set_flag GPU_FALLBACK" not in trt.calls
    assert "--no-gpu-fallback" in alone.passport.rebuild(tmp_path)


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
    height, width = read_spec_json(engines_dir() / "fast.json").input
    image = synthetic_pictures((height, width))[0][None, :height, :width]
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    ours, theirs = (
        ort.InferenceSession(m, options, providers=["CPUExecutionProvider"]).run(None, {"frame": image})[0]
        for m in (content, before)
    )
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
    height, width = read_spec_json(engines_dir() / "fast.json").input
    image = synthetic_pictures((height, width))[0][None, :height, :width]
    ours, theirs = (
        ort.InferenceSession(m, providers=["CPUExecutionProvider"]).run(None, {"frame": image})[0]
        for m in (forms[1].SerializeToString(), file.read_bytes())
    )
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
    height, width = read_spec_json(engines_dir() / "fast.json").input
    image = synthetic_pictures((height, width))[0][None, :height, :width]
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    ours, theirs = (
        ort.InferenceSession(m, options, providers=["CPUExecutionProvider"]).run(None, {"frame": image})[0]
        for m in (model.SerializeToString(), file.read_bytes())
    )
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
