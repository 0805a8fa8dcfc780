"""Building with TensorRT's double of 8.5, which knows the real attribute sets and the rules for uint8."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver_double import RecordingDriver
from onnx_models import palette_graph, palette_model, palette_spec, things_model, write_onnx
from tensorrt_double import GPU, Builder, Network, Tensor, TensorRt

from drivenet.build import tensorrt as builder
from drivenet.build.build import build
from drivenet.build.rebuild_request import request_for
from drivenet.build.request import BuildRequest
from drivenet.build.tensorrt_network import _compare_chain, lower_argmax
from drivenet.data.pictures import synthetic_pictures
from drivenet.engine import open_engine
from drivenet.engine import tensorrt as backend
from drivenet.engine.cuda import driver as cuda
from drivenet.engine.tensorrt import engine as tensorrt
from drivenet.engine.tensorrt import lane as tensorrt_lane
from drivenet.errors import EngineError, UsageError


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
