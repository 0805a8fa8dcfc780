"""Building with NVIDIA's own parser and builder, of TensorRT for RTX.

Its network is typed by the ONNX alone, as TensorRT 11's is. What it builds runs on a GPU only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from driver_double import RecordingDriver
from onnx_models import palette_graph, palette_model, palette_spec, write_onnx
from tensorrt_real import MISSING, compiled

trt = pytest.importorskip("tensorrt_rtx", reason=MISSING)

from drivenet.build.tensorrt_network import ARGMAX, lower_argmax  # noqa: E402
from drivenet.build.tensorrt_precision import flagged_int8, float16_onnx, sign, typing_of  # noqa: E402
from drivenet.engine.onnxruntime.file import read_spec  # noqa: E402
from drivenet.engine.tensorrt.session import Session, make_log  # noqa: E402
from drivenet.errors import EngineError, UsageError  # noqa: E402
from drivenet.resources import engines_dir  # noqa: E402

pytestmark = pytest.mark.slow

MODELS = sorted(engines_dir().glob("*.onnx"))
BUILDS = [(file, p) for file in MODELS for p in (("int8",) if file.stem.endswith("int8") else ("fp32", "fp16"))]


def parsed(content: bytes, precision: str) -> Any:
    """The network of an ONNX, and what it rests on."""
    log = make_log(trt)
    maker = trt.Builder(log)
    network = maker.create_network(typing_of(trt, precision).network_flags)
    parser = trt.OnnxParser(network, log)
    assert parser.parse(content), log.reason
    return network, parser, maker


@pytest.mark.parametrize("argmax", ARGMAX)
@pytest.mark.parametrize(("file", "precision"), BUILDS, ids=lambda v: v.stem if isinstance(v, Path) else v)
def test_every_engine_that_ships_is_built(file: Path, precision: str, argmax: str, tmp_path: Path) -> None:
    product, plan = compiled(trt, file, precision, argmax, tmp_path, workspace=1024)
    assert product.machine["tensorrt"] == trt.__version__
    assert product.recorded["argmax"] == argmax
    convolutions = [t for t in onnx.load(file).graph.initializer if len(t.dims) == 4]
    assert len(plan) > sum(int(np.prod(t.dims)) for t in convolutions)  # at least a byte for each weight


def test_int8_with_float_weights_is_int8() -> None:
    """The form that older versions need, as far as this one can tell."""
    content = (engines_dir() / "fast-int8.onnx").read_bytes()
    sizes = []
    for form in (sign(onnx.load_from_string(content)).SerializeToString(), flagged_int8(content)):
        network, parser, maker = parsed(form, "int8")
        plan = maker.build_serialized_network(network, maker.create_builder_config())
        assert plan is not None
        sizes.append(len(bytes(memoryview(plan))))
    assert 0.9 < sizes[1] / sizes[0] < 1.1
    del parser


def test_half_the_bits_make_half_a_plan(tmp_path: Path) -> None:
    file = engines_dir() / "accurate.onnx"
    full, half = (len(compiled(trt, file, precision, "topk", tmp_path)[1]) for precision in ("fp32", "fp16"))
    assert 0.4 < half / full < 0.8


@pytest.mark.parametrize("argmax", ARGMAX)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_end_is_the_argmax(precision: str, argmax: str) -> None:
    """TensorRT's own layers, as they stand in the network, computed with NumPy."""
    file = engines_dir() / "fast.onnx"
    content = file.read_bytes() if precision == "fp32" else float16_onnx(file.read_bytes())
    network, *alive = parsed(content, precision)
    spec = read_spec(file)
    classes = len(spec.labels.classes)
    keep = lower_argmax(trt, network, classes, argmax)
    frame, ids = network.get_input(0), network.get_output(0)
    assert (frame.name, frame.dtype, tuple(frame.shape)) == ("frame", trt.DataType.UINT8, (1, *spec.input, 3))
    assert (ids.name, ids.dtype, tuple(ids.shape)) == ("classes", trt.DataType.UINT8, (1, *spec.output))
    assert network.num_outputs == len(spec.outputs())
    (topk,) = (layer for layer in layers(network) if layer.type == trt.LayerType.TOPK)
    read = {layer.get_input(i).name for layer in layers(network) for i in range(layer.num_inputs)}
    assert (topk.get_output(1).name in read) == (argmax == "topk")
    logits = topk.get_input(0)
    assert logits.dtype == (trt.DataType.FLOAT if precision == "fp32" else trt.DataType.HALF)
    scores = np.random.default_rng(0).integers(-3, 3, tuple(logits.shape)).astype(np.float32)  # many equal scores
    np.testing.assert_array_equal(computed(network, logits.name, scores), scores.argmax(1).astype(np.uint8))
    del keep, alive


def layers(network: Any) -> list[Any]:
    """The layers, each as the class that it is: the bindings hand out the base class."""
    kinds = {
        "SLICE": trt.ISliceLayer, "ELEMENTWISE": trt.IElementWiseLayer, "CONSTANT": trt.IConstantLayer,
        "CAST": trt.ICastLayer, "TOPK": trt.ITopKLayer,
    }  # fmt: skip
    found = [network.get_layer(i) for i in range(network.num_layers)]
    for layer in found:
        layer.__class__ = kinds.get(layer.type.name, trt.ILayer)
    return found


def computed(network: Any, start: str, value: np.ndarray) -> np.ndarray:
    """The network's output if the tensor ``start`` has this value; KeyError if it rests on anything else."""
    known = {start: value}
    found = -1
    while found < len(known):  # the chain of comparisons stands behind those who read it
        found = len(known)
        for layer in layers(network):
            names = [layer.get_input(i).name for i in range(layer.num_inputs)]
            if all(name in known for name in names) and layer.type.name in STEPS:
                results = STEPS[layer.type.name](layer, *(known[name] for name in names))
                known |= {layer.get_output(i).name: result for i, result in enumerate(results)}
    return known[network.get_output(0).name]


def _topk(layer: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    assert (layer.k, layer.op) == (1, trt.TopKOperation.MAX)
    axis = int(layer.axes).bit_length() - 1
    best = x.argmax(axis, keepdims=True)
    return np.take_along_axis(x, best, axis), best


def _slice(layer: Any, x: np.ndarray) -> tuple[np.ndarray]:
    return (x[tuple(slice(s, s + n, d) for s, n, d in zip(layer.start, layer.shape, layer.stride, strict=True))],)


TYPES = {"UINT8": np.uint8, "INT32": np.int32, "INT64": np.int64, "FLOAT": np.float32, "HALF": np.float16}
STEPS = {
    "TOPK": _topk,
    "SLICE": _slice,
    "ELEMENTWISE": lambda layer, a, b: ({"GREATER": np.greater, "MAX": np.maximum}[layer.op.name](a, b),),
    "SELECT": lambda layer, c, a, b: (np.where(c, a, b),),
    "CONSTANT": lambda layer: (np.asarray(layer.weights).reshape(tuple(layer.shape)),),
    "CAST": lambda layer, x: (x.astype(TYPES[layer.to_type.name]),),
    "SQUEEZE": lambda layer, x, axes: (x.squeeze(tuple(axes)),),
}


@pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops in TensorRT-RTX:DeprecationWarning")
def test_a_timing_cache_is_read_back_and_one_that_is_none_is_replaced(tmp_path: Path) -> None:
    cache = tmp_path / "kernels.timing"
    file = palette_model(tmp_path)
    cache.write_bytes(b"nothing that TensorRT wrote")
    compiled(trt, file, "fp32", "topk", tmp_path, timing_cache=cache)
    assert cache.read_bytes() != b"nothing that TensorRT wrote"
    compiled(trt, file, "fp32", "topk", tmp_path, timing_cache=cache)


def test_an_onnx_that_works_on_uint8_is_refused_with_what_is_read(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "palette.onnx", palette_graph(cast_at_ends=False), palette_spec())
    with pytest.raises(
        EngineError, match=r"cannot read .*palette.onnx: .*UINT8; expected .* the picture cast to float"
    ):
        compiled(trt, file, "fp32", "topk", tmp_path)


def test_a_precision_that_it_cannot_be_told_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"precision bf16 with TensorRT .*; expected fp32 or fp16 or int8"):
        compiled(trt, palette_model(tmp_path), "bf16", "topk", tmp_path)


def test_no_plan_is_refused_with_its_own_words(tmp_path: Path) -> None:
    """Without a driver because of that, with one because of the content; never by a crash."""
    spec = read_spec(palette_model(tmp_path))
    with pytest.raises(EngineError, match=r"TensorRT cannot deserialise junk.plan: .*[Ee]rror"):
        Session(trt, RecordingDriver(), b"junk" * 100, spec, "junk.plan")
